-- resign: live supervisor -> none
-- A supervisor leaves; if it was the keeper, it notes what the ledger has counted, and another one is named and told.
-- KEYS prefix
-- ARGV host
-- returns the new keeper or ""
-- uses clock history
local host = ARGV[1]
redis.call('ZREM', HOSTS, host)
redis.call('DEL', CONTROL .. host)
if redis.call('HGET', META, 'keeper') ~= host then return '' end
pcall(note_ledger)
redis.call('HDEL', META, 'keeper', 'keeper_until', 'keeper_lease', 'keeper_again')
local next_host = redis.call('ZRANGEBYSCORE', HOSTS, now, '+inf', 'LIMIT', 0, 1)[1]
if not next_host then return '' end
redis.call('ZADD', CONTROL .. next_host, 0, 'tick')
redis.call('PEXPIRE', CONTROL .. next_host, 60000)
return next_host
