-- glance: (read only)
-- What people who watch want to see at one instant: the numbers of tally.lua, each worker with the first of what it holds,
-- since when what is next waits, what is paused, and which hosts are there: one that is quiet has no workers.
-- KEYS prefix
-- ARGV how many entries of each worker
-- returns {now ms, what depths returns, {"event type", count, …}, {{worker, lease until ms, host, info, number held,
--   {entry, type, …}}, …}, ms of the oldest call that is next in a list | 0, STOPPED | false, {"type" or "type key", note, …},
--   {host, …}}
-- uses clock head limit front places
local MOST_NAMED = 1000 -- entries whose types are looked up, of all workers together
local MOST_LANES = 30 -- of each priority that are looked at: with unknown types there may be very many
local call = redis.call
local each, named, workers = tonumber(ARGV[1]), 0, {}
for number, worker in ipairs(call('ZRANGE', LEASES, 0, -1, 'WITHSCORES')) do
  if number % 2 == 1 then
    workers[#workers + 1] = {worker}
  else
    local found = workers[#workers]
    local name, holds = found[1], {}
    local state = call('HMGET', WORKER .. name, 'host', 'info')
    for _, entry in ipairs(named < MOST_NAMED and each > 0 and call('LRANGE', PROCESSING .. name, 0, each - 1) or {}) do
      local message = call('HGET', TASKS, entry)
      named, holds[#holds + 1], holds[#holds + 2] = named + 1, entry, message and read_head(message).type or ''
    end
    found[2], found[3], found[4], found[5], found[6] = worker, state[1] or '', state[2] or '',
      call('LLEN', PROCESSING .. name), holds
  end
end

for _, level in ipairs(call('EXISTS', STOPPED) == 0 and {'high', 'default', 'low'} or {}) do
  compare_front(SUSPECTS .. level)
  compare_front(QUEUE .. level)
  for number, lane in ipairs(call('SMEMBERS', LANES_AT .. level)) do
    if number > MOST_LANES then break end
    local list = LANE .. level .. ':' .. lane
    if call('HEXISTS', FLOWING, level .. ' ' .. lane) == 1 then
      list = next_of_flow(level, lane)
    elseif tokens_of(limited_type(lane)) == 0 then
      list = nil
    end
    if list then compare_front(list) end
  end
end
local oldest = front_ms > 0 and math.floor(now - front_ms) or 0
return {now, count_places(), call('HGETALL', LEDGER), workers, oldest, call('GET', STOPPED), call('HGETALL', PAUSED),
  call('ZRANGE', HOSTS, now, '+inf', 'BYSCORE')}
