-- part wake: after every script, if something is runnable now, a marker exists; nothing that cannot run now sets one.
-- What can run only later has a future time: META.armed is at or before the earliest one, and the keeper (one
-- supervisor) waits for it on its own clock; who sets an earlier time wakes the keeper through its control key.
local LEVELS = {'high', 'default', 'low'}
local pokes_keeper = true -- not in the keeper's own script
local flows -- parts/flow.lua
local lost_a_lane = false -- the last lane may be gone, but not yet the markers for it

local function announce(due)
  local armed, keeper = unpack(redis.call('HMGET', META, 'armed', 'keeper'))
  if armed and tonumber(armed) <= due then return end
  redis.call('HSET', META, 'armed', string.format('%.0f', due))
  if keeper and pokes_keeper then
    redis.call('ZADD', CONTROL .. keeper, 0, 'tick')
    redis.call('PEXPIRE', CONTROL .. keeper, 60000)
  end
end

-- Whoever can take isolated tasks is a group of its own: supervisors block on its marker, and none of their processes.
local function announce_isolation()
  redis.call('SADD', TYPES .. 'isolated', '!isolated')
  redis.call('PEXPIRE', TYPES .. 'isolated', 86400000)
  redis.call('SADD', GROUPS, 'isolated')
end

-- Lanes are runnable for those groups of workers that know the type, and only while their limit has a token.
-- There may be many lanes that nobody knows: they are left out by one command.
local function mark_lanes()
  if redis.call('EXISTS', STOPPED) == 1 then return end
  for _, digest in ipairs(redis.call('SMEMBERS', GROUPS)) do
    local is_runnable = false
    for level = 1, 3 do
      for _, lane in ipairs(redis.call('SINTER', TYPES .. digest, LANES_AT .. LEVELS[level])) do
        if redis.call('HGET', LANES, lane) == 'flow' then
          is_runnable = is_runnable or flows().first_open(LEVELS[level], lane) ~= nil
        else
          local limit = read_limit(lane)
          local free, next_ms = 1, 0
          if limit then free, next_ms = tokens(limit) end
          if free < 1 then announce(next_ms) else is_runnable = true end
        end
      end
    end
    if is_runnable then redis.call('ZADD', WAKE_GROUP .. digest, 0, 'w') else redis.call('ZREM', WAKE_GROUP .. digest, 'w') end
  end
end

-- A suspect is runnable while nothing of a higher priority is ready, or where priorities have weights. Not every worker takes them, so they have a marker
-- of their own.
local function mark_suspects()
  for _, level in ipairs(LEVELS) do
    if redis.call('EXISTS', SUSPECTS .. level) == 1 then return redis.call('ZADD', WAKE_ALONE, 0, 'w') end
    if redis.call('EXISTS', QUEUE .. level) == 1 and redis.call('HEXISTS', META, 'weights') == 0 then return end
  end
end

-- A paused queue sets no marker. Lanes come first: a suspect whose type is paused no more leaves them.
local function mark()
  local call = redis.call
  if lost_a_lane or call('HLEN', LANES) > 0 then mark_lanes() end
  local waiting = call('EXISTS', QUEUE .. 'high', QUEUE .. 'default', QUEUE .. 'low',
    SUSPECTS .. 'high', SUSPECTS .. 'default', SUSPECTS .. 'low')
  if waiting == 0 then return end
  local others = call('EXISTS', STOPPED, SUSPECTS .. 'high', SUSPECTS .. 'default', SUSPECTS .. 'low')
  if others == 0 then return call('ZADD', WAKE, 0, 'w') end
  if call('EXISTS', STOPPED) == 1 then return end
  if waiting > others then call('ZADD', WAKE, 0, 'w') end
  mark_suspects()
end
