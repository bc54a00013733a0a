-- tick: scheduled -> queued | expired, queued -> expired | dead
-- The keeper's script: does what is due and says when to come again. Any supervisor becomes keeper when there is none.
-- KEYS prefix
-- ARGV host, lease ms
-- returns {"keeper", now ms, next future time ms or -1} | {"other", now ms, ms until which it is keeper}
-- uses clock head limit wake ready endings future
local host, lease = ARGV[1], tonumber(ARGV[2])
local keeper, till = unpack(redis.call('HMGET', META, 'keeper', 'keeper_until'))
if keeper and keeper ~= host and tonumber(till) >= now then return {'other', now, tonumber(till)} end
pokes_keeper = false
redis.call('ZREM', WAKE, 'w')
redis.call('HSET', META, 'keeper', host, 'keeper_until', now + lease)
advance(500)
mark()
return {'keeper', now, tonumber(redis.call('HGET', META, 'armed') or -1)}
