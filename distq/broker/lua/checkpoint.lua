-- checkpoint: (moves nothing)
-- What a running task is to remember: the results of steps, how far it came. Only its owner can say that; it goes on with
-- the task from worker to worker, ends with it, and stays with a dead one for a replay.
-- KEYS prefix
-- ARGV worker, entry, most fields, most bytes, then field and value by turns; none: it asks for all that is remembered
-- returns {"ok" | "gone" | "full", field, value, …}
-- uses clock head shelves endings
local PROGRESS = 'progress' -- has a bound of its own, and always has room
local worker, entry, most_fields, most_bytes = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local message = redis.call('LPOS', PROCESSING .. worker, entry) and redis.call('HGET', TASKS, entry)
if not message then return {'gone'} end
local h, memory = read_head(message), MEMORY .. id_of(entry)
local is_new = not has_flag(h, HAS_MEMORY)
if #ARGV < 5 then
  local reply = is_new and {} or redis.call('HGETALL', memory)
  table.insert(reply, 1, 'ok')
  return reply
end

-- How many fields and bytes there will be. `size` is of what counts: not of itself, nor of the progress.
local fields, size, fresh = 0, 0, {}
if not is_new then
  fields, size = redis.call('HLEN', memory), tonumber(redis.call('HGET', memory, 'size') or 0)
end
local more = 0
for i = 5, #ARGV, 2 do
  local field, value = ARGV[i], ARGV[i + 1]
  fresh[#fresh + 1] = field
  if field ~= PROGRESS then
    local old = not is_new and redis.call('HGET', memory, field)
    fields = fields + (old and 0 or 1)
    more = more + #value + (old and -#old or #field)
  end
end
if more > 0 and (fields > most_fields or size + more > most_bytes) then return {'full'} end
if is_new then
  redis.call('DEL', memory) -- of an earlier life
  set_flag(h, HAS_MEMORY, true)
  redis.call('HSET', TASKS, entry, write_head(h, message))
else
  redis.call('HDEL', memory, unpack(fresh)) -- a full broker lets pass what begins so
end
redis.call('HSET', memory, 'size', size + more, unpack(ARGV, 5))
redis.call('PEXPIRE', memory, DEAD_AGE)
return {'ok'}
