-- part limit: token buckets as GCRA (ITU-T I.371). LIMITS holds type -> "interval_us burst tat_us", where tat is the
-- theoretical arrival time of the next token if all were taken evenly. Model and property tests: distq/rate.py.
-- The versions of a type ("mail", "mail@2") are lanes of their own, and share its limit.
local function limited_type(lane) return string.match(lane, '^[^@]+') or lane end

local function write_limit(lane, limit)
  redis.call('HSET', LIMITS, limited_type(lane), limit.declared .. ' ' .. string.format('%.3f', limit.tat))
end

local function read_limit(lane)
  local text = redis.call('HGET', LIMITS, limited_type(lane))
  if not text then return nil end
  local interval, burst, tat = string.match(text, '^(%S+) (%S+) (%S+)$')
  local limit = {interval = tonumber(interval), burst = tonumber(burst), tat = tonumber(tat),
    declared = interval .. ' ' .. burst}
  local furthest = now_us + limit.burst * limit.interval
  if limit.tat > furthest then -- the clock was set back
    limit.tat = furthest
    write_limit(lane, limit)
  end
  return limit
end

-- tokens: how many may be taken now; and the ms at which the next one is there.
local function tokens(limit)
  local tat = math.max(limit.tat, now_us)
  local free = math.floor((now_us + limit.burst * limit.interval - tat) / limit.interval + 1e-9)
  local next_us = tat - (limit.burst - 1) * limit.interval
  return math.max(free, 0), math.ceil(next_us / 1000)
end

local function take_tokens(lane, limit, count)
  limit.tat = math.max(limit.tat, now_us) + count * limit.interval
  write_limit(lane, limit)
end
