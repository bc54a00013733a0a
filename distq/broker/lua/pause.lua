-- pause: (moves no task)
-- A queue hands out nothing until it is resumed, or nothing of a type, or nothing of a key of a type. What runs goes on.
-- What waits in other lists than the lanes of its type moves there when a worker meets it (parts/reserve.lua).
-- KEYS prefix
-- ARGV "queue" | "type" | "key", type, key, who, a token of this call, why ("" or none: nobody said)
-- returns "paused" | "already"
-- uses clock head limit wake flow lanes arrange again
local what, type = ARGV[1], ARGV[2]
local field = what == 'key' and type .. ' ' .. ARGV[3] or type
local note = cmsgpack.pack({by = ARGV[4], at = now, why = ARGV[6] or ''})
if was_told('pause', ARGV[5]) then return 'paused' end
redis.call('ZREM', WAKE, 'w') -- a full broker lets pass what begins so
if what == 'queue' then
  if redis.call('SET', STOPPED, note, 'NX') == false then return 'already' end
  note_call('pause', ARGV[5])
  redis.call('DEL', WAKE_ALONE)
  for _, digest in ipairs(redis.call('SMEMBERS', GROUPS)) do redis.call('DEL', WAKE_GROUP .. digest) end
  return 'paused'
end
local is_new = redis.call('HSETNX', PAUSED, field, note) == 1
if is_new then
  note_call('pause', ARGV[5])
  arrange(type)
end
mark()
return is_new and 'paused' or 'already'
