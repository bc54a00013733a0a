-- history: (read only)
-- What happened lately: the slots of a range, and of as much again before.
-- KEYS prefix
-- ARGV seconds of the range
-- returns {now ms, seconds of a slot, fields and values of the last stretch but one, of the last one}
-- uses clock history
for _, range in ipairs(RANGES) do
  if range[1] == tonumber(ARGV[1]) then
    return {now, range[2], redis.call('HGETALL', stretch_of(range[1], 1)), redis.call('HGETALL', stretch_of(range[1], 0))}
  end
end
return redis.error_reply('ERR there is no range of so many seconds')
