-- forget: (schedules only)
-- Deletes a schedule; not one that the code of a living host declares.
-- KEYS prefix
-- ARGV name
-- returns "ok" | "declared" | "unknown"
-- uses clock limit wake await
local name = ARGV[1]
if redis.call('SISMEMBER', SCHEDULES, name) == 0 then return 'unknown' end
if redis.call('SISMEMBER', CODED, name) == 1 and not redis.call('ZSCORE', ORPHANED, name) then return 'declared' end
forget_schedule(name)
return 'ok'
