-- arrive: none -> queued | scheduled
-- Tasks that have left another queue are alive here from now on, if they are expected. Once, however often they are sent.
-- KEYS prefix
-- ARGV token of the move, then per task: id, message, ms when it is due | 0, number of records of its attempts, these
-- returns per id "arrived" | "gone": it is not expected
-- uses clock head limit wake flow ready shelves results unique endings journey
redis.call('ZREM', WAKE, 'w') -- a full broker lets pass what begins so
local token, words, at = ARGV[1], {}, 2

-- An id that was here before may have left a ghost.
local function new_entry(id)
  for _, level in ipairs(LEVELS) do
    if redis.call('SISMEMBER', GHOSTS .. level, id) == 1 then return id .. ' ' .. redis.call('HINCRBY', META, 'fence', 1) end
  end
  return id
end

local function arrive(id, message, due, records)
  local state, whose, source = note_of(ARRIVING, id)
  if whose ~= token then return 'gone' end
  if state == 'arrived' then return 'arrived' end
  local h, entry = read_head(message), new_entry(id)
  redis.call('HSET', TASKS, entry, message)
  if entry ~= id then redis.call('HSET', GENERATIONS, id, entry) end
  redis.call('DEL', ATTEMPTS .. id, MEMORY .. id, CANCEL .. entry)
  forget_dead(id)
  forget_results({id})
  for _, record in ipairs(records) do write_attempt(id, record, DEAD_AGE + math.max(due - now, 0)) end
  redis.call('HSET', ARRIVING, id, table.concat({'arrived', token, source, string.format('%.0f', now)}, ' '))
  count('arrived', h.type, 1)
  if due > now then make_scheduled(entry, h, due) else make_ready(entry, h, 'RPUSH') end
  return 'arrived'
end

while ARGV[at] do
  local number, records = tonumber(ARGV[at + 3]), {}
  for i = 1, number do records[i] = ARGV[at + 3 + i] end
  words[#words + 1] = arrive(ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), records)
  at = at + 4 + number
end
mark()
return words
