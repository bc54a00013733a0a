-- part weights: the priorities of a queue share it as META.weights says, "8 3 1" from high to low (docs/decisions/0056).
-- Each has a pass, kept in META.passes; the one with the lowest has its turn (of equal ones the higher priority), and each
-- task moves its pass on by round / weight. So in a round, which is so far as all weights together move it, each gets
-- tasks by its weight, also if it got others in between.

-- A priority that has nothing to give is as far as those that have: it saves up no turns. If it has something that this worker
-- cannot take, it is no more than a round behind.
local function keep_up(pass, level, least, round)
  local waits = redis.call('EXISTS', QUEUE .. level, SUSPECTS .. level, LANES_AT .. level) > 0
  pass[level] = math.max(pass[level], waits and least - round or least)
end

-- So many turns in a row has the one with the lowest pass, of those that are `open`.
local function next_turns(pass, stride, open)
  local first, turns
  for _, level in ipairs(LEVELS) do
    if open[level] and (not first or pass[level] < pass[first]) then first = level end
  end
  local is_before = true -- the others: then they come first if they are equal
  for _, level in ipairs(LEVELS) do
    if level == first then
      is_before = false
    elseif open[level] then
      local steps = (pass[level] - pass[first]) / stride[first]
      local most = is_before and math.max(1, math.ceil(steps)) or math.floor(steps) + 1
      turns = math.min(turns or most, most)
    end
  end
  return first, turns or math.huge
end

-- take_from(level, want) takes until `want` are in `got`; if it returns true, nothing more may follow.
local function share_out(weights, want, got, take_from)
  local pass, weight, stride, open, round, is_over = {}, {}, {}, {}, 1, false
  local next_weight = string.gmatch(weights, '%S+')
  local next_pass = string.gmatch(redis.call('HGET', META, 'passes') or '0 0 0', '%S+')
  for _, level in ipairs(LEVELS) do
    weight[level], pass[level], open[level] = tonumber(next_weight()), tonumber(next_pass()), true
    round = round * weight[level]
  end
  for _, level in ipairs(LEVELS) do stride[level] = round / weight[level] end
  while #got < want and not is_over do
    local level, turns = next_turns(pass, stride, open)
    if not level then break end
    local number = #got
    is_over = take_from(level, math.min(want, number + turns))
    local taken = #got - number
    open[level] = taken >= turns or nil
    if taken > 0 then
      local least = pass[level] + (taken - 1) * stride[level]
      for _, other in ipairs(LEVELS) do
        if not open[other] and other ~= level then keep_up(pass, other, least, round) end
      end
      pass[level] = pass[level] + taken * stride[level]
    end
  end
  local least = math.min(pass.high, pass.default, pass.low)
  for _, level in ipairs(LEVELS) do pass[level] = pass[level] - least end
  if #got > 0 then
    redis.call('HSET', META, 'passes', string.format('%.0f %.0f %.0f', pass.high, pass.default, pass.low))
  end
end
