-- depart: queued -> moved, scheduled -> moved
-- Waiting tasks leave for another queue, which expects them. Each ends here, and its message stays among those that leave until
-- it has arrived. A call that is sent again, by whomever, is answered the same as long as that is so.
-- KEYS prefix
-- ARGV token of the move, the other queue, "" | "delay" | "due" | "left" (only what has left before), that in ms, priority "" | 0 | 1 | 2, ids…
-- returns per id {"moved", message, ms when it is due | 0, records of its attempts}, or {why not: "running" | "ended" | "unknown"
--   | "stays" | "expires" | "bound": a limit or a name holds it | "remembers": what it has done is kept here}
-- uses clock head limit wake flow shelves results unique endings held room moving journey
local token, target, how, ms, priority = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
redis.call('ZREM', WAKE, 'w') -- a full broker lets pass what begins so

local function gone(id)
  local state, whose, _, due = note_of(LEAVING, id)
  if not state or whose ~= token then return nil end
  local note = redis.call('HGET', LEAVING, id)
  local message = string.sub(note, string.find(note, '\n', 1, true) + 1)
  return {'moved', message, tonumber(due), redis.call('LRANGE', ATTEMPTS .. id, 0, -1)}
end

local function depart(id)
  local before = gone(id)
  if before then return before end
  if how == 'left' then return {'stays'} end
  local entry, message = live_entry(id)
  if not message then return {entry} end
  local h, was = read_head(message), tonumber(redis.call('ZSCORE', DELAYED, entry) or nil)
  if not was and is_held(entry) then return {'running'} end
  if is_bound(h) then return {'bound'} end
  if has_flag(h, HAS_MEMORY) then return {'remembers'} end
  local due = new_due(how, ms, was)
  if how ~= '' and h.expires > 0 and math.max(due, now) >= h.expires then return {'expires'} end
  if was then redis.call('ZREM', DELAYED, entry) else leave_list(entry, h) end
  h.priority = priority or h.priority
  local note = table.concat({'leaving', token, target, string.format('%.0f', due), string.format('%.0f', now)}, ' ')
  redis.call('HSET', LEAVING, id, note .. '\n' .. write_head(h, message))
  finish(entry, h, 'moved', target, token)
  return gone(id)
end

local replies = {}
for i = 6, #ARGV do replies[#replies + 1] = depart(ARGV[i]) end
give_room()
mark()
return replies
