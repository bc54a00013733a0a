-- order: (any state)
-- Tells a supervisor what to do: it hears it at once, if its host is there.
-- KEYS prefix
-- ARGV host, "quiet" | "resume" | "restart" | "stacks" | "stop"
-- returns "ordered" | "unknown"
local host = ARGV[1]
if not redis.call('ZSCORE', HOSTS, host) then return 'unknown' end
redis.call('ZADD', CONTROL .. host, 0, ARGV[2])
redis.call('PEXPIRE', CONTROL .. host, 60000)
return 'ordered'
