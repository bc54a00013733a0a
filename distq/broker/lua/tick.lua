-- tick: scheduled -> queued | expired, queued -> expired | dead
-- The keeper's script: does what is due and says when to come again. Any supervisor becomes keeper when there is none.
-- KEYS prefix
-- ARGV host, lease ms
-- returns {"keeper", now ms, next future time ms or -1} | {"other", now ms, ms until which it is keeper}
-- uses clock keeper head limit wake ready shelves endings future
local host, lease = ARGV[1], tonumber(ARGV[2])
local keeper, till = living_keeper()
if keeper and keeper ~= host then return {'other', now, till} end
pokes_keeper = false
redis.call('ZREM', WAKE, 'w')
name_keeper(host, lease)
advance(500)
mark()
return {'keeper', now, tonumber(redis.call('HGET', META, 'armed') or -1)}
