-- look: (any state)
-- What is known of one task. Its ending first: get() must never wait for something that is over. If somebody waits for a
-- task that has not ended, and it does within 25 s, its result also goes where they can block on it.
-- KEYS prefix
-- ARGV id, "wait" if somebody waits, else ""
-- returns {state, result element | false, message | false, due ms | 0, worker | ""}
-- uses clock shelves results
local WAIT = 25000
local id = ARGV[1]
local element = result_of(id)
if element then return {'ended', element, redis.call('HGET', DEAD, id), 0, ''} end
local entry = redis.call('HGET', GENERATIONS, id) or id
local message = redis.call('HGET', TASKS, entry)
local comes = not message and string.sub(redis.call('HGET', ARRIVING, id) or '', 1, 9) == 'expected '
if ARGV[2] == 'wait' and (message or comes) then
  redis.call('ZREMRANGEBYSCORE', WAITED, '-inf', now) -- a full broker lets pass what begins so
  redis.call('ZADD', WAITED, now + WAIT, id)
  redis.call('PEXPIRE', WAITED, WAIT)
end
if message then
  local due = redis.call('ZSCORE', DELAYED, entry)
  if due then return {'scheduled', false, message, tonumber(due), ''} end
  for _, worker in ipairs(redis.call('ZRANGE', LEASES, 0, -1)) do
    if redis.call('LPOS', PROCESSING .. worker, entry) then return {'running', false, message, 0, worker} end
  end
  return {'queued', false, message, 0, ''}
end
if comes then return {'queued', false, false, 0, ''} end -- from another queue
local dead = redis.call('HGET', DEAD, id)
if dead then return {'dead', false, dead, 0, ''} end
return {'unknown', false, false, 0, ''}
