-- part moving: what waits is changed, and stays alive (docs/decisions/0054).
-- A call that is sent again, since its reply was lost, gets the same reply.
local function answer_of(call)
  local told = redis.call('GET', SENT .. ' move ' .. call) -- no id has a space
  return told and cmsgpack.unpack(told)
end

local function note_answer(call, words) redis.call('SET', SENT .. ' move ' .. call, cmsgpack.pack(words), 'PX', RESEND_WINDOW) end

-- Entry and message of a live task; or a word for it, and nothing.
local function live_entry(id)
  local entry = redis.call('HGET', GENERATIONS, id) or id
  local message = redis.call('HGET', TASKS, entry)
  if message then return entry, message end
  return (result_of(id) or redis.call('HEXISTS', DEAD, id) == 1) and 'ended' or 'unknown'
end

-- When it is to become ready; 0: now, or as it was.
local function new_due(how, ms, was)
  if how == 'delay' then return ms > 0 and from_now + ms or 0 end
  if how == 'due' then return ms end
  return was or 0
end

-- Tasks of its type run in order: they share one priority.
local function is_in_order(h)
  local packed = redis.call('HGET', FLOWS, limited_type(h.type))
  return packed and cmsgpack.unpack(packed).o
end

-- A producer may still send the call again that made this task, and the short way of enqueue looks for the plain id. So for
-- as long as that may be, it is on a shelf without an ending, of which nobody knows who looks for results.
local moved = {}
local function note_lives()
  if #moved == 0 then return end
  local shelf = live_shelf(0)
  for _, id in ipairs(moved) do redis.call('HSET', SHELF .. shelf, id, '') end
  redis.call('PEXPIRE', SHELF .. shelf, 3 * RESEND_WINDOW)
  write_latest()
end

-- It goes on under another entry; the old one is gone, or a ghost in its list.
local function leave_place(id, entry, h)
  if id == entry and h.created > now - RESEND_WINDOW then moved[#moved + 1] = id end
  local new = id .. ' ' .. redis.call('HINCRBY', META, 'fence', 1)
  redis.call('HDEL', TASKS, entry)
  leave_list(entry, h)
  redis.call('HSET', GENERATIONS, id, new)
  redis.call('ZREM', DEADLINES, entry)
  for _, place in ipairs({HELD, NAMED, UNSTARTED}) do
    local value = redis.call('HGET', place, entry)
    if value then
      redis.call('HDEL', place, entry)
      redis.call('HSET', place, new, value)
      if place ~= HELD and redis.call('HGET', UNIQUES, value) == entry then redis.call('HSET', UNIQUES, value, new) end
    end
  end
  return new
end

-- What is kept beside it lives as long.
local function keep_records(id, entry, h, ms)
  if ms == 0 then return end
  if redis.call('EXISTS', ATTEMPTS .. id) == 1 then redis.call('PEXPIRE', ATTEMPTS .. id, DEAD_AGE + ms) end
  keep_memory(entry, h, DEAD_AGE + ms)
end
