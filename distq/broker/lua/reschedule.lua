-- reschedule: queued -> queued | scheduled, scheduled -> queued | scheduled
-- Gives waiting tasks another time or priority; all else of them stays. What is ready leaves a ghost where it was, unless
-- it is the first in the lane of a flow, and goes on as a further generation of its id: no list is searched
-- (docs/decisions/0002). It comes to the end of where it waits from now on. A call that is sent again changes nothing, and
-- is answered the same.
-- KEYS prefix
-- ARGV a token of this call, "" | "delay" | "due", that in ms, priority "" | 0 | 1 | 2, ids…
-- returns per id "rescheduled" | "running" | "ended" | "unknown" | "expires" | "ordered" | "suspect"
-- uses clock head limit wake flow ready shelves results unique endings held moving
local call, how, ms, priority = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local told = answer_of(call)
if told then return told end
redis.call('ZREM', WAKE, 'w') -- a full broker lets pass what begins so

local function reschedule(id)
  local entry, message = live_entry(id)
  if not message then return entry end
  local h, was = read_head(message), tonumber(redis.call('ZSCORE', DELAYED, entry) or nil)
  if not was and is_held(entry) then return 'running' end
  local due = new_due(how, ms, was)
  if how ~= '' and h.expires > 0 and math.max(due, now) >= h.expires then return 'expires' end
  if priority and priority ~= h.priority and is_in_order(h) then return 'ordered' end
  local stays = not priority or priority == h.priority
  if not was and stays and due <= now then return 'rescheduled' end -- it is ready already
  if due > now and has_flag(h, SUSPECT) and redis.call('HEXISTS', HELD, entry) == 1 then return 'suspect' end
  if was then redis.call('ZREM', DELAYED, entry) else entry = leave_place(id, entry, h) end
  h.priority = priority or h.priority
  h.level = PRIORITY[h.priority] or 'default'
  redis.call('HSET', TASKS, entry, write_head(h, message))
  if due > now then make_scheduled(entry, h, due) else make_ready(entry, h, 'RPUSH') end
  keep_records(id, entry, h, math.max(due - now, 0))
  count('rescheduled', h.type, 1)
  return 'rescheduled'
end

local words = {}
for i = 5, #ARGV do words[#words + 1] = reschedule(ARGV[i]) end
note_lives()
note_answer(call, words)
mark()
return words
