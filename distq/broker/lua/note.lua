-- note: (any state)
-- Keeps what somebody has done; of many the newest. The same call again adds nothing.
-- KEYS prefix
-- ARGV record, how many to keep, ms to keep them
-- returns "noted"
-- uses clock
redis.call('ZADD', ACTIONS, 'NX', now, ARGV[1])
redis.call('PEXPIRE', ACTIONS, ARGV[3])
for _, old in ipairs(redis.call('ZRANGE', ACTIONS, 0, -1 - tonumber(ARGV[2]))) do redis.call('ZREM', ACTIONS, old) end
return 'noted'
