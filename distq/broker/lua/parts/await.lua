-- part await: where a schedule is between its ticks. FIRES holds those that wait for one. A paused one is not there, nor
-- one that no living host declares any more (ORPHANED, until it is retired): it keeps its tick in SCHEDULE, and waits for
-- that when it may again.
local function await(name)
  local tick, paused = unpack(redis.call('HMGET', SCHEDULE .. name, 'tick', 'paused'))
  if not tonumber(tick or '') or paused or redis.call('ZSCORE', ORPHANED, name) then
    redis.call('ZREM', FIRES, name)
  else
    redis.call('ZADD', FIRES, tick, name)
    announce(tonumber(tick))
  end
end

local function forget_schedule(name)
  redis.call('SREM', SCHEDULES, name)
  redis.call('SREM', CODED, name)
  redis.call('ZREM', FIRES, name)
  redis.call('ZREM', ORPHANED, name)
  redis.call('DEL', SCHEDULE .. name, FIRED .. name)
end
