-- why: (read only)
-- All that decides whether a live task runs now: where it waits and behind what, what is paused, which limits hold and how
-- far they are used, who could run it. What follows from it is said in distq/gates.py.
-- KEYS prefix
-- ARGV id
-- returns {state as look.lua says it, result element | false, msgpack map of what is known of a live task | false}
-- uses clock head keeper limit shelves results
local MOST_AHEAD, MOST_WORKERS, MOST_HELD, MOST_NAMED = 10000, 1000, 1000, 3
local call = redis.call
local id = ARGV[1]
local element = result_of(id)
if element then return {'ended', element, false} end
local entry = call('HGET', GENERATIONS, id) or id
local message = call('HGET', TASKS, entry)
if not message then return {call('HEXISTS', DEAD, id) == 1 and 'dead' or 'unknown', false, false} end

local h = read_head(message)
local flow, lane = lane_of_type(h)
local type = limited_type(h.type)
local own = type .. ' ' .. h.own
local at = h.level .. ':' .. flow
local function unpacked(raw)
  local is_read, value = pcall(cmsgpack.unpack, raw)
  return raw and is_read and value or nil
end

local found = {now = now, now_us = now_us, type = h.type, level = h.level, version = h.version, attempt = h.attempt,
  created = h.created, expires = h.expires, key = h.own, weight = h.weight, is_suspect = has_flag(h, SUSPECT),
  is_isolated = has_flag(h, ISOLATED), deliveries = h.deliveries, deadline = tonumber(call('ZSCORE', DEADLINES, entry) or 0),
  cancelled_by = call('GET', CANCEL .. entry), stopped = unpacked(call('GET', STOPPED)),
  paused = unpacked(call('HGET', PAUSED, type)), paused_key = unpacked(call('HGET', PAUSED, own)), lane_kind = call('HGET', LANES, flow)}

local function position(list)
  local ahead = call('LPOS', list, entry, 'MAXLEN', MOST_AHEAD)
  return ahead or (call('LLEN', list) > MOST_AHEAD and -1 or nil)
end

-- Where it waits: the first list that has it, or else the first that is too long to know.
local function find_place()
  local places = {{'suspects', SUSPECTS .. h.level}, {'isolated', LANE .. h.level .. ':' .. ISOLATION},
    {'lane', LANE .. h.level .. ':' .. lane}, {'lane', LANE .. h.level .. ':' .. flow},
    {'lane', LANE .. h.level .. ':' .. flow .. ' ' .. HELD_BACK}, {'ready', QUEUE .. h.level}}
  local unsure
  for _, place in ipairs(places) do
    local ahead = position(place[2])
    if ahead and ahead >= 0 then return place[1], ahead end
    if ahead and not unsure then unsure = place[1] end
  end
  return unsure or 'none', unsure and -1 or 0
end

local function holder()
  for _, worker in ipairs(call('ZRANGE', LEASES, 0, -1)) do
    local before = call('LPOS', PROCESSING .. worker, entry)
    if before then
      return {name = worker, before = before, holds = call('LLEN', PROCESSING .. worker),
        lease = tonumber(call('ZSCORE', LEASES, worker))}
    end
  end
end

-- Who could have it. `can`: of those that live, how many take what is where it is.
local function look_for_workers(place)
  local takes_it = {ready = {all = 1, only = 1, sound = 1}, lane = {all = 1, only = 1, sound = 1, lanes = 1},
    suspects = {all = 1, only = 1, suspects = 1}, isolated = {isolated = 1}, none = {}}
  local number = {alive = 0, know = 0, can = 0, idle = 0, hold = 0, quiet = 0, beyond = 0}
  local knows = {}
  local alive = call('ZRANGEBYSCORE', LEASES, now, '+inf', 'LIMIT', 0, MOST_WORKERS)
  number.beyond = math.max(0, call('ZCARD', LEASES) - MOST_WORKERS)
  for _, worker in ipairs(alive) do
    local takes, digest = unpack(call('HMGET', WORKER .. worker, 'takes', 'digest'))
    if takes and takes ~= 'isolated' and takes ~= 'suspects' then
      digest = digest or ''
      if knows[digest] == nil then knows[digest] = call('SISMEMBER', TYPES .. digest, flow) == 1 end
      number.alive = number.alive + 1
      if takes == 'nothing' then number.quiet = number.quiet + 1 end
      if knows[digest] then number.know = number.know + 1 end
      if knows[digest] and takes_it[place][takes] then
        local holds = call('LLEN', PROCESSING .. worker)
        number.can, number.hold = number.can + 1, number.hold + holds
        if holds == 0 then number.idle = number.idle + 1 end
      end
    end
  end
  return number
end

local function higher_ready()
  local number = 0
  for _, level in ipairs({'high', 'default', 'low'}) do
    if level == h.level then return number end
    number = number + call('LLEN', QUEUE .. level) + call('LLEN', SUSPECTS .. level)
  end
end

-- What each budget that it takes from has: declared limits, and the times at which they are full again.
local function budgets()
  local all = {}
  for i, use in ipairs(h.budgets or {}) do
    local declared, full = unpacked(call('HGET', BUDGETS, use[1])) or {}, {}
    for j = 1, #declared do full[j] = tonumber(call('GET', BUCKET .. use[1] .. '!' .. j .. ' ' .. use[2]) or 0) end
    all[i] = {use = use, declared = declared, full = full,
      till = tonumber(call('GET', BUCKET .. use[1] .. '! ' .. use[2]) or 0)}
  end
  return all
end

-- Who has the places of a gate: {id, attempts that have ended, when its next one comes | 0}, some of them.
local function holders(gate)
  local who, cursor, looked = {}, '0', 0
  repeat
    local page = call('HSCAN', HELD, cursor, 'COUNT', 200)
    cursor = page[1]
    for i = 1, #page[2], 2 do
      looked = looked + 1
      for _, held in ipairs(unpacked(page[2][i + 1]) or {}) do
        local message = held == gate and #who < MOST_NAMED and call('HGET', TASKS, page[2][i])
        if message then
          who[#who + 1] = {id_of(page[2][i]), read_head(message).attempt, tonumber(call('ZSCORE', DELAYED, page[2][i]) or 0)}
        end
      end
    end
  until cursor == '0' or looked >= MOST_HELD or #who == MOST_NAMED
  return who
end

found.due = tonumber(call('ZSCORE', DELAYED, entry) or 0)
found.worker = found.due == 0 and holder() or nil
found.place, found.ahead = 'none', 0
if found.due == 0 and not found.worker then found.place, found.ahead = find_place() end
found.workers = look_for_workers(found.due > 0 and (found.lane_kind and 'lane' or 'ready') or found.place)
found.hosts = call('ZCOUNT', HOSTS, now, '+inf')
found.keeper = living_keeper() or ''
found.higher = higher_ready()
found.weights = call('HGET', META, 'weights') or nil
found.limit, found.policy = call('HGET', LIMITS, type), unpacked(call('HGET', FLOWS, type))
found.override = unpacked(call('HGET', OVERRIDES, type))
if found.override then found.override.declared.flow = unpacked(found.override.declared.flow) end
found.holds = call('HEXISTS', HELD, entry) == 1
found.running, found.running_key = tonumber(call('HGET', RUNNING, type) or 0), tonumber(call('HGET', RUNNING, own) or 0)
found.who = not found.holds and found.running > 0 and holders(type) or {}
found.who_key = not found.holds and found.running_key > 0 and holders(own) or {}
found.unstarted = call('HGET', UNSTARTED, entry)
found.named = found.unstarted or call('HGET', NAMED, entry)
found.bucket = tonumber(call('GET', BUCKET .. own) or 0)
found.budgets = budgets()
if found.place == 'lane' and found.lane_kind == 'flow' then
  found.turn, found.turns = call('ZRANK', TURNS .. at, h.key), call('ZCARD', TURNS .. at)
  found.waits = call('HGET', BLOCKED .. at, ':' .. h.key)
  found.items = call('LLEN', LANE .. h.level .. ':' .. lane)
  found.filling = tonumber(call('HGET', FILLING, table.concat({h.level, flow, h.key}, ' ')) or 0)
end
return {found.due > 0 and 'scheduled' or found.worker and 'running' or 'queued', false, cmsgpack.pack(found)}
