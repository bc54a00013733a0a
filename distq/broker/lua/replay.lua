-- replay: dead -> queued | scheduled
-- Runs dead letters again, each with a fresh budget of attempts and deliveries, and without a deadline: all now, or one
-- after the other.
-- KEYS prefix
-- ARGV ms between two of them (0: all now), ms until the first one, ids…
-- returns per id "replayed" | "live" | "unknown"
-- uses clock head limit wake flow ready shelves results unique endings
redis.call('ZREM', WAKE, 'w') -- a full broker lets pass what begins so
local every, first = tonumber(ARGV[1]), tonumber(ARGV[2])
local replies, number = {}, 0
for i = 3, #ARGV do
  local id, reply = ARGV[i], 'replayed'
  local message = redis.call('HGET', DEAD, id)
  if not message then
    reply = 'unknown'
  elseif redis.call('HEXISTS', TASKS, id) == 1 or redis.call('HEXISTS', GENERATIONS, id) == 1 then
    reply = 'live'
  else
    local h = read_head(message)
    local remembers = has_flag(h, HAS_MEMORY)
    h.attempt, h.deliveries, h.flags, h.expires = 0, 0, HAS_RECORDS + 4 * own_limit(h), 0
    set_flag(h, HAS_MEMORY, remembers)
    keep_memory(id, h, DEAD_AGE)
    local entry = id
    for _, level in ipairs(LEVELS) do
      if redis.call('SISMEMBER', GHOSTS .. level, id) == 1 then entry = id .. ' ' .. redis.call('HINCRBY', META, 'fence', 1) end
    end
    redis.call('HSET', TASKS, entry, write_head(h, message))
    retake_name(entry, h)
    if entry ~= id then redis.call('HSET', GENERATIONS, id, entry) end
    forget_dead(id)
    redis.call('DEL', CANCEL .. entry)
    forget_results({id})
    write_attempt(id, cmsgpack.pack({outcome = 'replayed', at = now}), DEAD_AGE)
    count('replayed', h.type, 1)
    local due = math.floor(from_now + first + number * every)
    if due > now and every > 0 then make_scheduled(entry, h, due) else make_ready(entry, h, 'RPUSH') end
    number = number + 1
  end
  replies[#replies + 1] = reply
end
mark()
return replies
