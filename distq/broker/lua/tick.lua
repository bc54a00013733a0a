-- tick: scheduled -> queued | expired, queued -> expired | dead
-- The keeper's script: does what is due and says when to come again. Any supervisor becomes keeper when there is none. Of
-- the schedules whose tick has come it gives the first ones: the keeper computes what follows, and calls fire, which says
-- when to come again.
-- KEYS prefix
-- ARGV host, lease ms
-- returns {"keeper", now ms, next future time ms or -1, then per due schedule {name, tick, edition, turn, when, tz,
--   jitter ms, missed}} | {"other", now, ms until which it is keeper}
-- uses clock keeper head limit wake flow ready shelves unique endings future room
local DUE = 100
local host, lease = ARGV[1], tonumber(ARGV[2])
local keeper, till = living_keeper()
if keeper and keeper ~= host then return {'other', now, till} end
pokes_keeper = false
redis.call('ZREM', WAKE, 'w')
name_keeper(host, lease)

-- Somebody else may have written there.
local function is_number(text) return text and #text < 16 and string.match(text, '^%d+$') end

local due = {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', FIRES, '-inf', now, 'LIMIT', 0, DUE)) do
  local found = redis.call('HMGET', SCHEDULE .. name, 'tick', 'edition', 'turn', 'when', 'tz', 'jitter', 'missed')
  if is_number(found[1]) and is_number(found[6] or '0') and found[4] then
    for i = 1, #found do found[i] = found[i] or '' end
    due[#due + 1] = {name, unpack(found)}
  else
    redis.call('ZREM', FIRES, name)
  end
end
advance(500)
give_room()
mark()
return {'keeper', now, #due == 0 and tonumber(redis.call('HGET', META, 'armed')) or -1, unpack(due)}
