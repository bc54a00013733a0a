-- replay: dead -> queued
-- Runs dead letters again, each with a fresh budget of attempts and deliveries, and without a deadline.
-- KEYS prefix
-- ARGV ids…
-- returns per id "replayed" | "live" | "unknown"
-- uses clock head limit wake flow ready shelves results endings
redis.call('ZREM', WAKE, 'w') -- a full broker lets pass what begins so
local replies = {}
for i, id in ipairs(ARGV) do
  local message = redis.call('HGET', DEAD, id)
  if not message then
    replies[i] = 'unknown'
  elseif redis.call('HEXISTS', TASKS, id) == 1 or redis.call('HEXISTS', GENERATIONS, id) == 1 then
    replies[i] = 'live'
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
    if entry ~= id then redis.call('HSET', GENERATIONS, id, entry) end
    forget_dead(id)
    redis.call('DEL', CANCEL .. entry)
    forget_results({id})
    write_attempt(id, cmsgpack.pack({outcome = 'replayed', at = now}), DEAD_AGE)
    count('replayed', h.type, 1)
    make_ready(entry, h, 'RPUSH')
    replies[i] = 'replayed'
  end
end
mark()
return replies
