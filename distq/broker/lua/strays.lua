-- strays: (what no script leaves so)
-- Looks once more, at one instant, at what seemed wrong; with "mend" it puts right what can be. Tasks that are alive but in
-- no list are for restore.
-- KEYS prefix
-- ARGV "look" | "mend", then three per stray: kind, name, where
-- returns per stray "right" | "wrong" | "mended"
-- uses clock head limit wake flow ready placed await
local DAY = 86400000
local call = redis.call
local IS_WRONG, MEND = {}, {}

local function is_alive(entry) return call('HEXISTS', TASKS, entry) == 1 end

local function is_ghost(entry)
  for _, level in ipairs(LEVELS) do
    if call('SISMEMBER', GHOSTS .. level, entry) == 1 then return true end
  end
  return false
end

-- Every place of a live entry, also the lists in which somebody has seen it: {list, how often}, those of workers first.
local function places_of(entry, seen_in)
  local h, found, known = read_head(call('HGET', TASKS, entry)), {}, {}
  local function look(list)
    if known[list] then return end
    known[list] = true
    local number = #call('LPOS', list, entry, 'COUNT', 0)
    if number > 0 then found[#found + 1] = {list, number} end
  end
  for _, worker in ipairs(call('ZRANGE', LEASES, 0, -1)) do look(PROCESSING .. worker) end
  local held = #found
  look(SUSPECTS .. h.level)
  look(LANE .. h.level .. ':' .. h.lane)
  look(LANE .. h.level .. ':' .. h.flow)
  look(LANE .. h.level .. ':' .. lane_of_type(h) .. ' ' .. HELD_BACK)
  look(QUEUE .. h.level)
  for list in string.gmatch(seen_in, '%S+') do
    if list ~= DELAYED then look(list) end
  end
  return found, held, call('ZSCORE', DELAYED, entry) and true or false
end

function IS_WRONG.lost(entry)
  local message = call('HGET', TASKS, entry)
  return message and not is_placed(entry, read_head(message))
end

function IS_WRONG.twice(entry, seen_in)
  if not is_alive(entry) then return false end
  local found, _, delayed = places_of(entry, seen_in)
  local number = delayed and 1 or 0
  for _, place in ipairs(found) do number = number + place[2] end
  return number > 1
end

-- It stays with the worker that holds it, or where it is the first.
function MEND.twice(entry, seen_in)
  local found, held, delayed = places_of(entry, seen_in)
  for i, place in ipairs(found) do
    local extra = (i == 1 and (held > 0 or not delayed)) and place[2] - 1 or place[2]
    if extra > 0 and i > held then call('LREM', place[1], -extra, entry) end
  end
  if delayed and held > 0 then call('ZREM', DELAYED, entry) end
end

function IS_WRONG.over(entry, place)
  if is_alive(entry) or is_ghost(entry) then return false end
  if place == DELAYED then return call('ZSCORE', DELAYED, entry) end
  return has(place, entry)
end
function MEND.over(entry, place)
  if place == DELAYED then call('ZREM', DELAYED, entry) else call('LREM', place, 0, entry) end
end

function IS_WRONG.ghost(entry, level)
  if call('SISMEMBER', GHOSTS .. level, entry) == 0 then return false end
  if is_alive(entry) then return true end
  if has(QUEUE .. level, entry) or has(SUSPECTS .. level, entry) then return false end
  for _, lane in ipairs(call('SMEMBERS', LANES_AT .. level)) do
    if has(LANE .. level .. ':' .. lane, entry) then return false end
  end
  return true
end
function MEND.ghost(entry, level) call('SREM', GHOSTS .. level, entry) end

function IS_WRONG.generation(id, entry) return call('HGET', GENERATIONS, id) == entry and not is_alive(entry) end
function MEND.generation(id) call('HDEL', GENERATIONS, id) end

function IS_WRONG.nameless(entry)
  return is_alive(entry) and id_of(entry) ~= entry and call('HGET', GENERATIONS, id_of(entry)) ~= entry
end
function MEND.nameless(entry) call('HSET', GENERATIONS, id_of(entry), entry) end

-- In UNIQUES a name stands for an entry, in the others an entry for its name.
function IS_WRONG.name(field, key)
  local value = call('HGET', key, field)
  return value and not is_alive(key == UNIQUES and value or field)
end
function MEND.name(field, key) call('HDEL', key, field) end

function IS_WRONG.deadline(entry) return call('ZSCORE', DEADLINES, entry) and not is_alive(entry) end
function MEND.deadline(entry) call('ZREM', DEADLINES, entry) end

-- A worker that still has its name gets a lease, so that it is renewed, or ends and is taken back like any other. From one
-- without a name nothing can come any more.
function IS_WRONG.orphan(worker)
  return call('EXISTS', PROCESSING .. worker) == 1 and not call('ZSCORE', LEASES, worker)
end
function MEND.orphan(worker)
  local lease = call('HGET', WORKER .. worker, 'lease')
  if lease then return call('ZADD', LEASES, now + lease, worker) end
  for _, entry in ipairs(call('LRANGE', PROCESSING .. worker, 0, -1)) do
    local message = call('HGET', TASKS, entry)
    if not message or is_placed(entry, read_head(message)) then call('LREM', PROCESSING .. worker, 1, entry) end
  end
end

local function is_flow(lane) return call('HGET', LANES, string.match(lane, '^%S+')) == 'flow' end

-- A lane of a flow has its turn, or is blocked.
local function is_wrong_in_flow(lane, level)
  local flow, key = string.match(lane, '^(%S+) ?(.*)$')
  local has_turn = call('ZSCORE', TURNS .. level .. ':' .. flow, key) and 1 or 0
  local is_known = has_turn + call('HEXISTS', BLOCKED .. level .. ':' .. flow, ':' .. key) > 0
  return call('EXISTS', LANE .. level .. ':' .. lane) == 1 and not is_known
end

function IS_WRONG.lane(lane, level)
  if is_flow(lane) then return is_wrong_in_flow(lane, level) end
  local holds = call('EXISTS', LANE .. level .. ':' .. lane) == 1
  return holds ~= (call('SISMEMBER', LANES_AT .. level, lane) == 1) or (holds and call('HEXISTS', LANES, lane) == 0)
end
function MEND.lane(lane, level)
  if is_flow(lane) then
    local flow, key = string.match(lane, '^(%S+) ?(.*)$')
    call('ZADD', TURNS .. level .. ':' .. flow, 0, key)
    return call('SADD', LANES_AT .. level, flow)
  end
  if call('EXISTS', LANE .. level .. ':' .. lane) == 0 then return call('SREM', LANES_AT .. level, lane) end
  call('SADD', LANES_AT .. level, lane)
  call('HSETNX', LANES, lane, read_limit(lane) and 'limited' or 'parked ' .. DAY)
end

function IS_WRONG.shelf(shelf) return call('EXISTS', SHELF .. shelf) == 1 and not call('ZSCORE', SHELVES, shelf) end
function MEND.shelf(shelf) call('ZADD', SHELVES, now, shelf) end

function IS_WRONG.letter(id) return (call('HEXISTS', DEAD, id) == 1) ~= (call('ZSCORE', DEAD_LETTERS, id) and true or false) end
function MEND.letter(id)
  if call('HEXISTS', DEAD, id) == 1 then call('ZADD', DEAD_LETTERS, now, id) else call('ZREM', DEAD_LETTERS, id) end
end

function IS_WRONG.lasting(key) return call('PTTL', key) == -1 end
function MEND.lasting(key) call('PEXPIRE', key, 30 * DAY) end
function IS_WRONG.unknown(key) return call('EXISTS', key) == 1 end
function IS_WRONG.kind(key, kind)
  local found = call('TYPE', key).ok
  return found ~= 'none' and found ~= kind
end

-- The marker rule. What it says of lanes counts once a keeper had the time to see their next token.
local function armed() return tonumber(call('HGET', META, 'armed') or math.huge) end

local function earliest(key) return tonumber(call('ZRANGE', key, 0, 0, 'WITHSCORES')[2] or math.huge) end

local function a_lane_can_run(digest)
  for _, level in ipairs(LEVELS) do
    for _, lane in ipairs(call('SINTER', TYPES .. digest, LANES_AT .. level)) do
      local limit = not is_flow(lane) and read_limit(lane)
      if call('EXISTS', LANE .. level .. ':' .. lane) == 1 and (not limit or (tokens(limit)) > 0) then return true end
    end
  end
  return false
end

local function is_stopped() return call('EXISTS', STOPPED) == 1 end

function IS_WRONG.wake()
  local can_run = not is_stopped() and call('EXISTS', QUEUE .. 'high', QUEUE .. 'default', QUEUE .. 'low') > 0
  return can_run ~= (call('EXISTS', WAKE) == 1)
end
function MEND.wake() return end
function IS_WRONG.wake_alone()
  if is_stopped() then return call('EXISTS', WAKE_ALONE) == 1 end
  for _, level in ipairs(LEVELS) do
    if call('EXISTS', SUSPECTS .. level) == 1 then return call('EXISTS', WAKE_ALONE) == 0 end
    if call('EXISTS', QUEUE .. level) == 1 then return false end
  end
  return call('EXISTS', WAKE_ALONE) == 1
end
function MEND.wake_alone() return end
function IS_WRONG.wake_group(digest)
  return not is_stopped() and armed() > now and call('EXISTS', WAKE_GROUP .. digest) == 0 and a_lane_can_run(digest)
end
function MEND.wake_group() lost_a_lane = true end
local function next_future() return math.min(earliest(DELAYED), earliest(DEADLINES), earliest(RESUMES), earliest(FIRES)) end

function IS_WRONG.armed() return next_future() < armed() end
function MEND.armed() announce(next_future()) end

-- A schedule that may tick waits for its tick, and no other does.
function IS_WRONG.schedule(name)
  local tick, paused = unpack(call('HMGET', SCHEDULE .. name, 'tick', 'paused'))
  if call('SISMEMBER', SCHEDULES, name) == 0 or not tick then
    return call('EXISTS', SCHEDULE .. name) == 1 or call('SISMEMBER', SCHEDULES, name) == 1
      or (call('ZSCORE', FIRES, name) and true or false)
  end
  local rests = paused or call('ZSCORE', ORPHANED, name)
  return (rests and true or false) == (call('ZSCORE', FIRES, name) and true or false)
end
function MEND.schedule(name)
  if call('HEXISTS', SCHEDULE .. name, 'tick') == 0 then return forget_schedule(name) end
  call('SADD', SCHEDULES, name)
  await(name)
end

local found, mends = {}, ARGV[1] == 'mend'
if mends then -- mark() sets again what is right
  call('ZREM', WAKE, 'w')
  call('ZREM', WAKE_ALONE, 'w')
end
for i = 2, #ARGV, 3 do
  local kind, name, where = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local word = IS_WRONG[kind](name, where) and 'wrong' or 'right'
  if word == 'wrong' and mends and MEND[kind] then
    MEND[kind](name, where)
    if not IS_WRONG[kind](name, where) or string.find(kind, '^wake') then word = 'mended' end
  end
  found[#found + 1] = word
end
if mends then mark() end
return found
