-- define: (schedules only)
-- Writes what a schedule is: a new one, a change, or what the code says. What was changed at run time stays so, whatever
-- the code says, until it is reset; and a schedule whose times are the same keeps its next tick.
-- KEYS prefix
-- ARGV name, "new" | "code" | the edition that is changed, next tick ms or "" (as it is), then field and value by turns
--   ("" removes it); of the code, "code" has all that it says together. "turn" is of one life of the schedule
-- returns {"ok" | "exists" | "unknown" | "stale" | "full", edition}
-- uses clock limit wake await
local MOST = 100000
local name, how, tick = ARGV[1], ARGV[2], ARGV[3]
local key = SCHEDULE .. name
local edition, when, tz, edited, turn = unpack(redis.call('HMGET', key, 'edition', 'when', 'tz', 'edited', 'turn'))
local given = {}
for i = 4, #ARGV, 2 do given[ARGV[i]] = ARGV[i + 1] end
if not edition then
  if how ~= 'new' and how ~= 'code' then return {'unknown', ''} end
  if redis.call('SCARD', SCHEDULES) >= MOST then return {'full', ''} end
elseif how == 'new' and given.turn == turn then -- the same call again
  return {'ok', edition}
elseif how == 'new' or (how == 'code' and redis.call('SISMEMBER', CODED, name) == 0) then
  return {'exists', ''}
elseif how ~= 'code' and how ~= edition then
  return {'stale', ''}
end

redis.call('SADD', SCHEDULES, name)
if how == 'code' then redis.call('SADD', CODED, name) end
local is_known = edition and how == 'code'
local keeps_all = is_known and edited
for field, value in pairs(given) do
  if (not keeps_all or field == 'code' or field == 'mark') and not (is_known and field == 'turn') then
    if value == '' then redis.call('HDEL', key, field) else redis.call('HSET', key, field, value) end
  end
end
local is_same = is_known and (keeps_all or (given.when == when and (given.tz or '') == (tz or '')))
if tick ~= '' and not is_same then redis.call('HSET', key, 'tick', tick) end
edition = redis.call('HINCRBY', key, 'edition', 1)
await(name)
return {'ok', tostring(edition)}
