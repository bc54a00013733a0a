-- look: (any state)
-- What is known of one task. Its ending first: get() must never wait for something that is over.
-- KEYS prefix
-- ARGV id
-- returns {state, result element | false, message | false, due ms | 0, worker | ""}
-- uses head
local id = ARGV[1]
local element = redis.call('LINDEX', RESULT .. id, 0)
if element then return {'ended', element, redis.call('HGET', DEAD, id), 0, ''} end
local entry = redis.call('HGET', GENERATIONS, id) or id
local message = redis.call('HGET', TASKS, entry)
if message then
  local due = redis.call('ZSCORE', DELAYED, entry)
  if due then return {'scheduled', false, message, tonumber(due), ''} end
  for _, worker in ipairs(redis.call('ZRANGE', LEASES, 0, -1)) do
    if redis.call('LPOS', PROCESSING .. worker, entry) then return {'running', false, message, 0, worker} end
  end
  return {'queued', false, message, 0, ''}
end
local dead = redis.call('HGET', DEAD, id)
if dead then return {'dead', false, dead, 0, ''} end
return {'unknown', false, false, 0, ''}
