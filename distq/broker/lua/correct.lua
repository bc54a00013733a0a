-- correct: (the ledger only)
-- Books what the ledger's equation lacks as `corrected`, so that it holds again: first per type, if the type's counts are
-- still those that the caller has seen, then the rest of the queue's difference at this instant as that of other types.
-- KEYS prefix
-- ARGV number of events, event and side (1 came, -1 ended) by turns, then per type: type, alive by its counts, to book
-- returns {booked per type, booked for others}
local OTHER = '(other)'
local sides, names, number = {}, {}, tonumber(ARGV[1])
for i = 2, 1 + 2 * number, 2 do
  names[#names + 1], sides[ARGV[i]] = ARGV[i], tonumber(ARGV[i + 1])
end

local function alive_by_counts(type)
  local fields, alive = {}, 0
  for i, name in ipairs(names) do fields[i] = name .. ' ' .. type end
  for i, count in ipairs(redis.call('HMGET', LEDGER, unpack(fields))) do alive = alive + sides[names[i]] * (count or 0) end
  return alive
end

local booked = 0
for i = 2 + 2 * number, #ARGV, 3 do
  local type, seen, by = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  if alive_by_counts(type) == seen then
    redis.call('HINCRBY', LEDGER, 'corrected ' .. type, by)
    booked = booked + by
  end
end
local rest, counts = redis.call('HLEN', TASKS), redis.call('HGETALL', LEDGER)
for i = 1, #counts, 2 do
  rest = rest - (sides[string.match(counts[i], '^%S+')] or 0) * counts[i + 1]
end
if rest ~= 0 then redis.call('HINCRBY', LEDGER, 'corrected ' .. OTHER, rest) end
return {booked, rest}
