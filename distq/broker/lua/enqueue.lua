-- enqueue: none -> queued | scheduled, dead -> queued | scheduled, queued | scheduled -> cancelled
-- Adds messages of one type. An id that is alive, or whose ending the same call has already seen (a resend), changes nothing.
-- With `once` neither does one whose ending is still known. Messages that have a name (parts/unique.lua) may mean a task that
-- is there: it stays, or is replaced, or takes their arguments. Where there are bounds, as many are added as there is room for,
-- or what has waited longest ends for them.
-- KEYS prefix
-- ARGV type, priority name, options, then id and message (without its first two head fields) of one;
--   or for any number of them a msgpack array: id, message, id, message, …
--   options: "" or a msgpack map: token (ids given by users), once, delay | due (ms), expires_in | expires (ms), limit, flow,
--   bounds {{type | "", most, how}, …} (parts/bounds.lua);
--   of names: unique, for (ms), replace, debounce, debounce_max (ms)
-- returns one word for all messages, or one for each: "created" | "duplicate" | "first <id>", of the task that stands for
--   the call by its name | "full"; a resend with a token gets its first answer. After words among which is "full": the
--   bound's "how most pending retry_ms type"
-- uses clock head limit wake flow ready shelves results unique endings cancelling names lanes room bounds

-- The short way: messages without options, of a type without a lane, with ids of our own making. It is most of all
-- calls, and takes half of the time because nothing else is set up (docs/decisions/0011).
local task, list = ARGV[1], QUEUE .. ARGV[2]
local messages, number = nil, 1
if not ARGV[5] then
  messages = cmsgpack.unpack(ARGV[4])
  number = #messages / 2
end
if ARGV[3] == '' and redis.call('HEXISTS', LANES, task) == 0 then
  local time = redis.call('TIME')
  local stamp = struct.pack('>dd', math.floor(time[1] * 1000 + time[2] / 1000), 0)
  local words = {'created'}
  local latest, stopped = unpack(redis.call('MGET', LATEST, STOPPED))
  latest = latest or ''
  if not messages then
    local id = ARGV[4]
    for shelf in string.gmatch(latest, '%S+') do
      if redis.call('HEXISTS', SHELF .. shelf, id) == 1 then return {'duplicate'} end
    end
    if redis.call('HSETNX', TASKS, id, stamp .. ARGV[5]) == 0 then return {'duplicate'} end
    redis.call('RPUSH', list, id)
  else
    -- A call is written whole or not at all, so a resend finds its first and its last message ended, or some alive
    -- (docs/decisions/0022). Then the long way looks at each.
    local ids = {}
    for i = 1, number do ids[i] = messages[2 * i - 1] end
    for shelf in string.gmatch(latest, '%S+') do
      local first, last = unpack(redis.call('HMGET', SHELF .. shelf, ids[1], ids[number]))
      if first or last then words = nil end
    end
    local alive = redis.call('HMGET', TASKS, unpack(ids))
    for i = 1, number do
      if alive[i] then words = nil end
    end
    if words then
      for i = 2, #messages, 2 do messages[i] = stamp .. messages[i] end
      if redis.call('HSET', TASKS, unpack(messages)) < number then -- the same id twice in one call
        local once = {}
        for i, id in ipairs(ids) do
          words[i] = once[id] and 'duplicate' or 'created'
          if not once[id] then once[#once + 1], once[id] = id, true end
        end
        ids, number = once, #once
      end
      redis.call('RPUSH', list, unpack(ids))
    end
  end
  if words then
    if redis.call('HINCRBY', LEDGER, 'enqueued ' .. task, number) == number and redis.call('HLEN', LEDGER) > 5000 then
      redis.call('HDEL', LEDGER, 'enqueued ' .. task)
      redis.call('HINCRBY', LEDGER, 'enqueued (other)', number)
    end
    if not stopped then redis.call('ZADD', WAKE, 0, 'w') end
    return words
  end
end
-- the long way
local level = ARGV[2]
local options = ARGV[3] == '' and {} or cmsgpack.unpack(ARGV[3])
local token = options.token
local expires = options.expires or (options.expires_in and now + options.expires_in) or 0
local due = options.due or ((options.delay or 0) > 0 and from_now + options.delay) or 0

-- Which ids of our own making are alive or have ended lately? Then the call is a repetition.
local function known_among(ids)
  local known, places = {}, {TASKS}
  for shelf in string.gmatch(redis.call('GET', LATEST) or '', '%S+') do places[#places + 1] = SHELF .. shelf end
  for _, key in ipairs(places) do
    local found = redis.call('HMGET', key, unpack(ids))
    for i, id in ipairs(ids) do known[id] = known[id] or found[i] end
  end
  return known
end

-- Did this very call make a task of this id of the user's before?
local function was_sent(id)
  return token and redis.call('GET', SENT .. id) == token
end

-- Under which entry does a new task of this id of the user's live? nil: the id is alive, or has had the one life it may.
local function entry_of(id)
  if redis.call('HEXISTS', TASKS, id) == 1 or redis.call('HEXISTS', GENERATIONS, id) == 1 then return nil end
  if options.once and (result_of(id) or redis.call('HEXISTS', DEAD, id) == 1) then return nil end
  for _, priority in ipairs(LEVELS) do
    if redis.call('SISMEMBER', GHOSTS .. priority, id) == 1 then
      return id .. ' ' .. redis.call('HINCRBY', META, 'fence', 1)
    end
  end
  if redis.call('EXISTS', CANCEL .. id) == 1 then return id .. ' ' .. redis.call('HINCRBY', META, 'fence', 1) end
  return id
end

-- For an id that may have lived before.
local function begin_new_life(id, entry)
  if entry ~= id then redis.call('HSET', GENERATIONS, id, entry) end
  redis.call('DEL', ATTEMPTS .. id, MEMORY .. id)
  forget_dead(id)
  redis.call('SET', SENT .. id, token, 'PX', RESEND_WINDOW)
end

local function add_to_set(key, entries, ms)
  local members = {}
  for i, entry in ipairs(entries) do members[2 * i - 1], members[2 * i] = ms, entry end
  redis.call('ZADD', key, unpack(members))
  announce(ms)
end

-- They wait where their type and options say, in their order.
local function place(entries, fields)
  local deadline = expires
  if due > now then
    add_to_set(DELAYED, entries, due)
  else
    local kind = options.flow and 'flow' or redis.call('HGET', LANES, task)
    if kind == 'flow' then
      for i, entry in ipairs(entries) do make_ready(entry, read_head(fields[2 * i]), 'RPUSH') end
    elseif kind then
      redis.call('RPUSH', LANE .. level .. ':' .. task, unpack(entries))
      redis.call('SADD', LANES_AT .. level, task)
      if deadline == 0 then
        for _, entry in ipairs(entries) do be_patient(entry, kind) end
      end
    else
      redis.call('RPUSH', list, unpack(entries))
    end
  end
  if deadline > 0 then add_to_set(DEADLINES, entries, deadline) end
end

messages = messages or {ARGV[4], ARGV[5]}
local given, stamp = {}, struct.pack('>dd', now, expires)
for i = 1, number do given[i] = messages[2 * i - 1] end
local known = token and {} or known_among(given)
local words, ids, entries, fields = {}, {}, {}, {}
local names = options.unique and make_names(options, stamp)
for i, id in ipairs(given) do
  local entry, sent = id, not known[id] and was_sent(id)
  if known[id] or sent then entry = nil elseif token then entry = entry_of(id) end
  words[i] = (entry or sent) and 'created' or 'duplicate'
  known[id] = known[id] or sent
  local first = entry and names and names.first_of(id, entry, messages[2 * i])
  if first then
    words[i] = 'first ' .. first
  elseif entry then
    known[id] = true
    ids[#ids + 1], entries[#entries + 1] = id, entry
    fields[#fields + 1], fields[#fields + 2] = entry, stamp .. messages[2 * i]
  end
end

local function takes_place(id) return names and names.place_of(id) end

-- Only so many of those that need room find some.
local function leave_out(fit)
  local refused, number, kept = {}, #ids, 0
  for j = 1, number do
    local id, other = ids[j], takes_place(ids[j])
    if not other then fit = fit - 1 end
    if (other and refused[id_of(other)]) or (not other and fit < 0) then
      refused[id] = true
    else
      kept = kept + 1
      ids[kept], entries[kept], fields[2 * kept - 1], fields[2 * kept] = id, entries[j], fields[2 * j - 1], fields[2 * j]
    end
  end
  for j = number, kept + 1, -1 do ids[j], entries[j], fields[2 * j], fields[2 * j - 1] = nil, nil, nil, nil end
  for i, id in ipairs(given) do
    if refused[id] or refused[string.match(words[i], '^first (.*)$') or ''] then words[i] = 'full' end
  end
  if names then names.leave_out(refused) end
end

local bounds, number_new = options.bounds, 0
for _, id in ipairs(bounds and ids or {}) do
  if not takes_place(id) then number_new = number_new + 1 end
end
if number_new > 0 then
  local fit, by, pending = find_room(bounds, number_new, due <= now)
  if by then
    leave_out(fit)
    words[#given + 1] = refuse(by, pending, number_new)
  end
end
if #entries > 0 then
  redis.call('HSET', TASKS, unpack(fields))
  if token then
    forget_results(ids)
    for i, id in ipairs(ids) do begin_new_life(id, entries[i]) end
  end
  if names then names.take() end
  declare_limits(task, options)
  place(entries, fields)
  count('enqueued', task, #entries)
end
if names then names.meet() end
if bounds and #entries > 0 then keep_bounds(bounds) end
mark()
return words
