-- restore: lost -> queued
-- Puts live tasks that are in no list back where they wait. No script leaves one so: it takes somebody who deletes keys,
-- such as a server that evicts them. Those that are in a place stay there.
-- KEYS prefix
-- ARGV entries…
-- returns how many were put back
-- uses clock head limit wake ready placed
redis.call('ZREM', WAKE, 'w') -- a full broker lets pass what begins so
local restored = 0
for _, entry in ipairs(ARGV) do
  local message = redis.call('HGET', TASKS, entry)
  local h = message and read_head(message)
  if h and not is_placed(entry, h) then
    if id_of(entry) ~= entry then redis.call('HSET', GENERATIONS, id_of(entry), entry) end
    redis.call('SREM', GHOSTS .. h.level, entry)
    make_ready(entry, h, 'RPUSH')
    restored = restored + 1
  end
end
mark()
return restored
