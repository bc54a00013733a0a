-- declare: (schedules only)
-- A supervisor says, once per lease, that its code declares certain schedules; at its start it names them. A schedule of
-- the code that no living host declares rests; it is retired if that is so for long. Releases that live side by side
-- declare together. When nobody has lived for a while, the first that comes waits for the others, too.
-- KEYS prefix
-- ARGV host, ms for which this holds, ms after which a schedule is retired, digest of what it declares ("none": nothing;
--   "": it leaves), then name and mark by turns, or nothing: as before
-- returns {now ms, "ok" | "again" (name them), names that are to be defined, names that were retired, number of schedules
--   that some code declares}
-- uses clock limit wake await
local host, hold, patience, digest = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
redis.call('ZREMRANGEBYSCORE', DECLARERS, '-inf', now)
if (digest == 'none' or digest == '') and redis.call('EXISTS', CODED) == 0 then return {now, 'ok', {}, {}, 0} end
local was_empty, is_set = redis.call('EXISTS', DECLARERS) == 0, digest ~= 'none' and digest ~= ''
if is_set then
  for i = 5, #ARGV, 2 do redis.call('SADD', DECLARED .. digest, ARGV[i]) end
  redis.call('PEXPIRE', DECLARED .. digest, hold)
end
local word = (not is_set or redis.call('EXISTS', DECLARED .. digest) == 1) and 'ok' or 'again'

-- One member for each host. A time that is too far away is of a clock that was set back since.
local sets, declarers = {CODED}, redis.call('ZRANGE', DECLARERS, 0, -1, 'WITHSCORES')
for i = 1, #declarers, 2 do
  local its_digest, its_hold, its_host = string.match(declarers[i], '^(%S+) (%S+) (.*)$')
  if its_host == host then
    redis.call('ZREM', DECLARERS, declarers[i])
  else
    sets[#sets + 1] = DECLARED .. its_digest
    if tonumber(declarers[i + 1]) > now + its_hold then redis.call('ZADD', DECLARERS, now + its_hold, declarers[i]) end
  end
end
if digest ~= '' then
  redis.call('ZADD', DECLARERS, now + hold, digest .. ' ' .. hold .. ' ' .. host)
  sets[#sets + 1] = DECLARED .. digest
end

local orphans, retired = {}, {}
for _, name in ipairs(word == 'ok' and redis.call('SDIFF', unpack(sets)) or {}) do
  orphans[name] = true
  local at = tonumber(redis.call('ZSCORE', ORPHANED, name) or math.huge)
  if at > now + patience or was_empty then
    redis.call('ZADD', ORPHANED, now + patience, name)
    redis.call('ZREM', FIRES, name)
  elseif at <= now then
    forget_schedule(name)
    retired[#retired + 1] = name
  end
end
for _, name in ipairs(word == 'ok' and redis.call('ZRANGE', ORPHANED, 0, -1) or {}) do
  if not orphans[name] then
    redis.call('ZREM', ORPHANED, name)
    await(name)
  end
end

local wanted = {}
for i = 5, #ARGV, 2 do
  if redis.call('HGET', SCHEDULE .. ARGV[i], 'mark') ~= ARGV[i + 1] then wanted[#wanted + 1] = ARGV[i] end
end
return {now, word, wanted, retired, redis.call('SCARD', CODED)}
