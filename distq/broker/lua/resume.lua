-- resume: (moves no task)
-- Ends a pause: what waited for it may have its turn, in its order.
-- KEYS prefix
-- ARGV "queue" | "type" | "key", type, key, a token of this call
-- returns "resumed" | "running": it was not paused
-- uses clock head limit wake flow lanes arrange again
local what, type = ARGV[1], ARGV[2]
local field = what == 'key' and type .. ' ' .. ARGV[3] or type
if was_told('resume', ARGV[4]) then return 'resumed' end
redis.call('ZREM', WAKE, 'w') -- a full broker lets pass what begins so
local was_paused
if what == 'queue' then
  was_paused = redis.call('DEL', STOPPED) == 1
else
  was_paused = redis.call('HDEL', PAUSED, field) == 1
  if was_paused then
    flows().open('!paused ' .. field)
    for lane in pairs(lanes_of(type)) do flows().free(lane) end
    arrange(type)
  end
end
if was_paused then note_call('resume', ARGV[4]) end
mark()
return was_paused and 'resumed' or 'running'
