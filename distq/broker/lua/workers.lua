-- workers: (read only)
-- Who is registered.
-- KEYS prefix
-- returns now ms, then per worker: name, lease until ms, host, info, entries held
-- uses clock
local found = {now}
for _, worker in ipairs(redis.call('ZRANGE', LEASES, 0, -1)) do
  local state = redis.call('HMGET', WORKER .. worker, 'host', 'info')
  found[#found + 1] = {worker, redis.call('ZSCORE', LEASES, worker), state[1] or '', state[2] or '',
    redis.call('LRANGE', PROCESSING .. worker, 0, 127)}
end
return found
