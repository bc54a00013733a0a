-- restore: lost -> queued | dead
-- Puts live tasks that are in no list back where they wait. No script leaves one so: it takes somebody who deletes keys,
-- such as a server that evicts them. Those that are in a place stay there. What must not be started twice may have been: it
-- is dead.
-- KEYS prefix
-- ARGV entries…
-- returns how many were put back
-- uses clock head limit wake flow ready placed shelves unique endings
redis.call('ZREM', WAKE, 'w') -- a full broker lets pass what begins so
local restored = 0
for _, entry in ipairs(ARGV) do
  local message = redis.call('HGET', TASKS, entry)
  local h = message and read_head(message)
  if h and not is_placed(entry, h) then
    if id_of(entry) ~= entry then redis.call('HSET', GENERATIONS, id_of(entry), entry) end
    redis.call('SREM', GHOSTS .. h.level, entry)
    let_go(entry)
    if own_limit(h) == 1 then
      bury(entry, message, h, cmsgpack.pack({outcome = 'lost', type = 'MayHaveRun', attempt = h.attempt + 1, at = now,
        message = 'may have run: it was in no list of the broker any more'}))
    else
      make_ready(entry, h, 'RPUSH')
    end
    restored = restored + 1
  end
end
mark()
return restored
