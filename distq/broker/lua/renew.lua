-- renew: live worker -> live worker
-- A supervisor renews the leases of its children, and keeps the house: the marker, the dead letters' age, shelves that
-- are over, what is left of tasks in lanes that nobody takes from, and by other releases. The keeper notes what the ledger
-- has counted.
-- KEYS prefix
-- ARGV host, lease ms, digest, number of types, types…, workers…
-- returns {now ms, lengths of the workers' processing lists (-1: gone), leases that nobody has renewed lately
--   {worker, ms, …}, keeper or ""}
-- uses clock keeper head limit wake flow shelves unique endings lanes room history
local LANES_SWEPT, GHOSTS_SWEPT, LEFT_SWEPT = 10, 50, 20

-- Ghosts go when a worker takes from their list. Those of a type that no worker knows go here, from the front.
local function sweep_ghosts(level, lane)
  local list = LANE .. level .. ':' .. lane
  for _ = 1, GHOSTS_SWEPT do
    local first = redis.call('LINDEX', list, 0)
    if not first or redis.call('SREM', GHOSTS .. level, first) == 0 then break end
    redis.call('LPOP', list)
  end
  leave_empty_lane(level, lane)
end

local function sweep_lanes()
  for _, level in ipairs(LEVELS) do
    if redis.call('EXISTS', GHOSTS .. level) == 1 then
      for _, lane in ipairs(redis.call('SRANDMEMBER', LANES_AT .. level, LANES_SWEPT)) do
        if redis.call('HGET', LANES, lane) == 'flow' then flows().first_open(level, lane) else sweep_ghosts(level, lane) end
      end
    end
  end
  if redis.call('EXISTS', FLOWING) == 1 then flows().mend() end
end

local function held_by_workers()
  local held = {}
  for _, worker in ipairs(redis.call('ZRANGE', LEASES, 0, -1)) do
    for _, entry in ipairs(redis.call('LRANGE', PROCESSING .. worker, 0, -1)) do held[entry] = true end
  end
  return held
end

-- Whether it needs no place among those that run: it waits, and not in order, nor to run alone.
local function only_waits(message, held, entry)
  local h = read_head(message)
  return not held[entry] and not has_flag(h, SUSPECT) and not flows().is_ordered(h)
end

-- Another release ends a task, or lays it aside, without knowing that it has a place among those that run, or a name. Some
-- are looked at.
local function sweep_what_is_left()
  local held
  for _, place in ipairs({HELD, NAMED, UNSTARTED}) do
    local entries = redis.call('EXISTS', place) == 1 and redis.call('HRANDFIELD', place, LEFT_SWEPT) or {}
    for _, entry in ipairs(entries) do
      local message = redis.call('HGET', TASKS, entry)
      if not message then
        let_go(entry)
        free_name(entry, NAMED)
        free_name(entry, UNSTARTED)
      elseif place == HELD then
        held = held or held_by_workers()
        if only_waits(message, held, entry) then let_go(entry) end
      end
    end
  end
end

local host, lease, digest = ARGV[1], tonumber(ARGV[2]), ARGV[3]
redis.call('ZREM', WAKE, 'w')
redis.call('ZADD', HOSTS, now + lease, host)
redis.call('ZREMRANGEBYSCORE', HOSTS, '-inf', now - 10 * lease)
local types = tonumber(ARGV[4])
if types > 0 then
  redis.call('SADD', TYPES .. digest, unpack(ARGV, 5, 4 + types))
  redis.call('PEXPIRE', TYPES .. digest, lease * 4)
  redis.call('SADD', GROUPS, digest)
end
local held, said = {}, {}
for i = 5 + types, #ARGV do
  if redis.call('EXISTS', WORKER .. ARGV[i]) == 1 then
    redis.call('ZADD', LEASES, now + lease, ARGV[i])
    local apart, group, shares = unpack(redis.call('HMGET', WORKER .. ARGV[i], 'apart', 'digest', 'shares'))
    if apart and not said[group] then set_apart(cmsgpack.unpack(apart), group) end -- the others of the group say the same
    if apart then said[group] = true end
    if shares and not said[shares] then announce_shares(cmsgpack.unpack(shares), lease) end
    if shares then said[shares] = true end
    held[#held + 1] = redis.call('LLEN', PROCESSING .. ARGV[i])
  else
    held[#held + 1] = -1
  end
end
if redis.call('HEXISTS', LANES, ISOLATION) == 1 then announce_isolation() end
for _, group in ipairs(redis.call('SMEMBERS', GROUPS)) do
  if redis.call('EXISTS', TYPES .. group) == 0 then
    redis.call('SREM', GROUPS, group)
    redis.call('DEL', WAKE_GROUP .. group)
    forget_apart(group)
  end
end
trim_dead()
sweep_shelves()
sweep_lanes()
sweep_what_is_left()
give_room()
mark()
local keeper = redis.call('HGET', META, 'keeper') == host and host or living_keeper()
if keeper == host then
  name_keeper(host, lease)
  pcall(note_ledger) -- whatever somebody has made of the history: it keeps no lease from being renewed
end
local silent = redis.call('ZRANGEBYSCORE', LEASES, '-inf', now + lease / 2, 'WITHSCORES', 'LIMIT', 0, 100)
-- Leases that end later than any that could be given now: the clock was set back since.
local far = redis.call('ZRANGEBYSCORE', LEASES, now + lease + SLACK, '+inf', 'WITHSCORES', 'LIMIT', 0, 100)
for i = 1, #far, 2 do
  local longest = tonumber(redis.call('HGET', WORKER .. far[i], 'lease') or 0)
  if tonumber(far[i + 1]) > now + longest + SLACK then silent[#silent + 1], silent[#silent + 2] = far[i], far[i + 1] end
end
return {now, held, silent, keeper or ''}
