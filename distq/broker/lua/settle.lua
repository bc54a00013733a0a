-- settle: active -> completed | scheduled | queued | dead
-- A supervisor settles for its child that is busy: what the child has finished, and what it has not started goes back.
-- KEYS prefix
-- ARGV worker, number (of the supervisor's own, rising), then three per verdict (parts/settle.lua)
-- returns {"ok" | "gone" | "stale", late verdicts}
-- uses clock head limit wake ready shelves endings settle
local worker, number = ARGV[1], tonumber(ARGV[2])
local settled = redis.call('HGET', WORKER .. worker, 'settled')
if not settled then return {'gone', 0} end
if number <= tonumber(settled) then return {'stale', 0} end
redis.call('ZREM', WAKE, 'w')
local late = settle(worker, 3)
redis.call('HSET', WORKER .. worker, 'settled', number)
mark()
return {'ok', late}
