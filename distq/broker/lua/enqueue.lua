-- enqueue: none -> queued | scheduled, dead -> queued | scheduled
-- Adds messages. An id that is alive, or whose ending the same call has already seen (a resend), changes nothing.
-- KEYS prefix
-- ARGV per message: type, priority name, options, id, message without its first two head fields
--   options: "" or a msgpack map: token (ids given by users), delay | due (ms), expires_in | expires (ms), limit
-- returns per message "created" | "duplicate"
-- uses clock head limit wake ready endings

-- The short way: one message without options, of a type without a lane, with an id of our own making. It is most of all
-- calls, and takes half of the time because nothing else is set up (docs/decisions/0011).
local id = ARGV[4]
if #ARGV == 5 and ARGV[3] == '' and redis.call('HEXISTS', LANES, ARGV[1]) == 0 then
  if redis.call('EXISTS', RESULT .. id) == 1 then return {'duplicate'} end
  local time = redis.call('TIME')
  local now = math.floor(time[1] * 1000 + time[2] / 1000)
  if redis.call('HSETNX', TASKS, id, struct.pack('>dd', now, 0) .. ARGV[5]) == 0 then return {'duplicate'} end
  redis.call('RPUSH', QUEUE .. ARGV[2], id)
  if redis.call('HINCRBY', LEDGER, 'enqueued ' .. ARGV[1], 1) == 1 and redis.call('HLEN', LEDGER) > 10000 then
    redis.call('HDEL', LEDGER, 'enqueued ' .. ARGV[1])
    redis.call('HINCRBY', LEDGER, 'enqueued (other)', 1)
  end
  redis.call('ZADD', WAKE, 0, 'w')
  return {'created'}
end
-- the long way
local replies, counts = {}, {}

-- Ids given by users: is the call a repetition? If not, under which entry does the task live?
local function entry_of(id, token)
  if redis.call('HEXISTS', TASKS, id) == 1 or redis.call('HEXISTS', GENERATIONS, id) == 1 then return nil end
  if redis.call('GET', SENT .. id) == token then return nil end
  local entry = id
  for _, level in ipairs(LEVELS) do
    if redis.call('SISMEMBER', GHOSTS .. level, id) == 1 then
      entry = id .. ' ' .. redis.call('HINCRBY', META, 'fence', 1)
    end
  end
  return entry
end

local function begin_new_life(id, entry, token)
  if entry ~= id then redis.call('HSET', GENERATIONS, id, entry) end
  redis.call('DEL', RESULT .. id, ATTEMPTS .. id)
  forget_dead(id)
  redis.call('SET', SENT .. id, token, 'PX', RESEND_WINDOW)
end

local function add_with_options(id, type, message, options)
  local expires = options.expires or (options.expires_in and now + options.expires_in) or 0
  local due = options.due or ((options.delay or 0) > 0 and from_now + options.delay) or 0
  local entry = id
  if options.token then
    entry = entry_of(id, options.token)
    if not entry then return false end
  elseif redis.call('EXISTS', RESULT .. id) == 1 or redis.call('HEXISTS', TASKS, id) == 1 then
    return false
  end
  message = struct.pack('>dd', now, expires) .. message
  redis.call('HSET', TASKS, entry, message)
  if options.token then begin_new_life(id, entry, options.token) end
  if options.limit and redis.call('HSETNX', LIMITS, type, options.limit .. ' 0') == 1 then
    redis.call('HSET', LANES, type, 'limited')
  end
  local h = read_head(message)
  if due > now then make_scheduled(entry, h, due) else make_ready(entry, h, 'RPUSH') end
  return true
end

-- An id of our own making, to be run now.
local function add(id, type, priority, message)
  if redis.call('EXISTS', RESULT .. id) == 1 then return false end
  if redis.call('HSETNX', TASKS, id, struct.pack('>dd', now, 0) .. message) == 0 then return false end
  local kind = redis.call('HGET', LANES, type)
  if kind then
    enter_lane(id, type, kind, priority, 'RPUSH')
  else
    redis.call('RPUSH', QUEUE .. priority, id)
  end
  return true
end

for i = 1, #ARGV, 5 do
  local type, priority, options, id, message = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  local created
  if options == '' then
    created = add(id, type, priority, message)
  else
    created = add_with_options(id, type, message, cmsgpack.unpack(options))
  end
  replies[#replies + 1] = created and 'created' or 'duplicate'
  if created then counts[type] = (counts[type] or 0) + 1 end
end
for type, number in pairs(counts) do count('enqueued', type, number) end
mark()
return replies
