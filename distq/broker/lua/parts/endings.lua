-- part endings: the four ways out. Each removes the live task and leaves a result for as long as producers may resend.
local DEFAULT_RESULT_TTL = 600000
local COMPLETED_LENGTH = 100
local DEAD_AGE = 30 * 86400000
local DEAD_NUMBER = 100000
local ATTEMPTS_LENGTH = 100
local LEDGER_FIELDS = 5000

local function result_ttl(h)
  if h.result_ttl == NOT_SAID then return DEFAULT_RESULT_TTL end
  return math.max(h.result_ttl * 1000, RESEND_WINDOW)
end

local function write_attempt(id, record, ttl)
  if record == '' then return end
  redis.call('RPUSH', ATTEMPTS .. id, record)
  redis.call('LTRIM', ATTEMPTS .. id, -ATTEMPTS_LENGTH, -1)
  redis.call('PEXPIRE', ATTEMPTS .. id, ttl)
end

-- What a task remembers outlives a dead one, so that a replay goes on where it was.
local function keep_memory(entry, h, ttl)
  if has_flag(h, HAS_MEMORY) then redis.call('PEXPIRE', MEMORY .. id_of(entry), ttl) end
end

-- The ledger is bounded: when it is full, new types are counted together, from their first event to their last.
local function count(event, type, by)
  local field = event .. ' ' .. type
  if redis.call('HINCRBY', LEDGER, field, by) == by and redis.call('HLEN', LEDGER) > LEDGER_FIELDS
      and (event == 'enqueued' or redis.call('HEXISTS', LEDGER, 'enqueued ' .. type) == 0) then
    redis.call('HDEL', LEDGER, field)
    redis.call('HINCRBY', LEDGER, event .. ' (other)', by)
  end
end

-- The task is no longer alive under this entry.
local function remove_task(entry, id)
  redis.call('HDEL', TASKS, entry)
  if entry ~= id then redis.call('HDEL', GENERATIONS, id) end
  let_go(entry)
  free_name(entry, NAMED)
  free_name(entry, UNSTARTED)
end

local function forget_dead(id)
  redis.call('ZREM', DEAD_LETTERS, id)
  redis.call('HDEL', DEAD, id)
end

local function trim_dead()
  local old = redis.call('ZRANGEBYSCORE', DEAD_LETTERS, '-inf', now - DEAD_AGE, 'LIMIT', 0, 100)
  local excess = redis.call('ZCARD', DEAD_LETTERS) - DEAD_NUMBER
  if excess > 0 then
    for _, id in ipairs(redis.call('ZRANGE', DEAD_LETTERS, 0, math.min(excess, 100) - 1)) do old[#old + 1] = id end
  end
  for _, id in ipairs(old) do
    forget_dead(id)
    redis.call('DEL', ATTEMPTS .. id, MEMORY .. id)
  end
end

-- bury: into the dead letters, with a msgpack record of the last attempt; the result says ["dead", record].
local function bury(entry, message, h, record)
  local id = id_of(entry)
  remove_task(entry, id)
  redis.call('HSET', DEAD, id, message)
  redis.call('ZADD', DEAD_LETTERS, now, id)
  write_attempt(id, record, DEAD_AGE)
  keep_memory(entry, h, DEAD_AGE)
  keep({id, '\146\164dead' .. record}, result_ttl(h))
  count('dead', h.type, 1)
  trim_dead()
end

-- finish: cancelled or expired; the result says [state, {by = …, at = …}], and `call`, which call that was, if it is given.
local function finish(entry, h, state, by, call)
  local id = id_of(entry)
  remove_task(entry, id)
  redis.call('ZREM', DEADLINES, entry)
  if redis.call('EXISTS', ATTEMPTS .. id) == 1 then redis.call('PEXPIRE', ATTEMPTS .. id, result_ttl(h)) end
  if has_flag(h, HAS_MEMORY) then redis.call('DEL', MEMORY .. id) end
  keep({id, cmsgpack.pack({state, {by = by, at = now, call = call}})}, result_ttl(h))
  count(state, h.type, 1)
end
