-- part reserve: hands out up to `want` entries and `room` bytes, by priority, strictly if it has no weights (parts/weights.lua); within one: suspects (singly and
-- alone in their process), then lanes whose limit allows, then the ready list.
local MAX_EXAMINED = 500
local got, messages, room, examined, alone = {}, {}, 0, 0, 0
local has_deadlines, has_pauses = false, false

-- Whether an entry of a list must not be handed over, and is dealt with. Asked only where there are deadlines or limits.
-- Its time may be over although nobody has told it: the keeper is dead, or behind. Its type may have got a lane since
-- it was enqueued, or be paused: then it moves there.
-- Or it is one of a type that the worker has a share of, and has no lane in this queue: it gets one.
local function is_kept_back(entry, message, has_kept_lanes)
  local h = read_head(message)
  if share_of[h.lane] and not is_kept_lane(redis.call('HGET', LANES, h.lane)) then
    set_apart({h.lane}, share_of[h.lane].group)
  end
  if is_expired(h) then
    finish(entry, h, 'expired', 'expires')
  elseif has_pauses and is_paused(h) then
    flows().hold(entry, h)
  elseif has_kept_lanes and is_flow_again(h) then
    if not flows().is_elsewhere(entry, h) then make_ready(entry, h, 'RPUSH') end
  elseif has_kept_lanes and is_kept_lane(redis.call('HGET', LANES, h.flow)) then
    make_ready(entry, h, 'RPUSH')
  else
    return false
  end
  return true
end

-- Takes from one list; skips ghosts; gives back what has no room. Returns how many were handed over.
local function take(list, level, most, has_kept_lanes)
  local got, messages, left, looks_closer = got, messages, room, has_kept_lanes or has_deadlines or has_pauses
  local before = #got
  local number = before
  while number - before < most and left > 0 and examined < MAX_EXAMINED do
    local entries = redis.call('LPOP', list, math.min(most - (number - before), MAX_EXAMINED - examined))
    if not entries then break end
    examined = examined + #entries
    local bodies = redis.call('HMGET', TASKS, unpack(entries))
    for i = 1, #entries do
      local entry, message = entries[i], bodies[i]
      if not message then
        redis.call('SREM', GHOSTS .. level, entry)
      elseif #message > left and number > 0 then
        for back = #entries, i, -1 do redis.call('LPUSH', list, entries[back]) end
        left = 0
        break
      elseif not looks_closer or not is_kept_back(entry, message, has_kept_lanes) then
        number = number + 1
        got[number], messages[number] = entry, message
        left = left - #message
      end
    end
  end
  room = left
  return number - before
end

-- Takes from the lanes of a flow, whose turn it is, as far as its policy allows. A batch is taken whole even if less is
-- wanted: it is one unit of work, and what belongs to it stands together in the answer.
local function take_from_flow(level, flow, want)
  local F, taken = flows(), 0
  local size, batch, left = F.size_of_batch(flow), nil, 0 -- the lane of the batch that has begun; how many may follow
  while (left > 0 or #got < want) and room > 0 and examined < MAX_EXAMINED do
    local place, entry, message, h
    local begins = left == 0
    if not begins then
      place, entry, message, h = F.next_of_batch(level, flow, batch)
    else
      examined = examined + 1
      place, entry, message, h = F.first_open(level, flow)
      if not entry then break end
      batch, left = place, size
    end
    if not entry then
      left = 0
    elseif #message > room and #got > 0 then
      room = 0
    elseif is_expired(h) then
      taken = taken + 1
      F.drop(level, flow, place)
      finish(entry, h, 'expired', 'expires')
      if begins then left = 0 end
    else
      taken, left = taken + 1, left - 1
      F.grant(level, flow, place, entry, h)
      got[#got + 1], messages[#messages + 1] = entry, message
      room = room - #message
    end
    if size > 1 and (left == 0 or room <= 0) then F.end_batch(level, flow, batch) end
  end
  F.count_taken(level, flow, taken)
end

-- A plain lane that came to be after its type was paused, or that another release has forgotten to be a flow.
local function has_to_be_flow(lane)
  if string.sub(lane, 1, 3) == 'v2/' and redis.call('HEXISTS', FLOWS, type_of_flow(lane)) == 1 then return true end
  return has_pauses and (string.sub(lane, 1, 3) == 'v2/' or redis.call('HEXISTS', PAUSED, type_of_flow(lane)) == 1)
end

-- Each lane is the first one by turns: that may take all that is wanted.
local function take_from_lanes(level, want, digest, turn)
  local lanes = redis.call('SINTER', TYPES .. digest, LANES_AT .. level)
  for i = 1, #share_lanes do lanes[#lanes + 1] = share_lanes[i] end
  for ahead = 1, #lanes do
    local lane = lanes[(turn + ahead) % #lanes + 1]
    local is_flow = redis.call('HGET', LANES, lane) == 'flow'
    if not is_flow and has_to_be_flow(lane) then
      flows().begin(lane)
      is_flow = true
    end
    if #got < want and is_flow then
      local before, share = #got, share_of[lane]
      take_from_flow(level, lane, share and math.min(want, before + share.free) or want)
      if share then share.free = share.free - (#got - before) end
    elseif #got < want then
      local list = LANE .. level .. ':' .. lane
      local limit, most, share = read_limit(lane), want - #got, share_of[lane]
      if share then most = math.min(most, share.free) end
      if limit then most = math.min(most, (tokens(limit))) end
      if most > 0 then
        local taken = take(list, level, most)
        if limit and taken > 0 then take_tokens(lane, limit, taken) end
        if share then share.free = share.free - taken end
      end
      leave_empty_lane(level, lane)
    end
  end
end

-- reserve: fills got, messages and alone (1: what was got is a suspect; 2: one waits for a worker that holds nothing).
-- `takes`: what the worker said when it registered (register.lua). `turn`: the number of its step. `weights`: how the
-- priorities share the queue; false: they are strict. One command tells whether there is anything but ready lists.
local function reserve(worker, want, bytes, digest, takes, turn, weights)
  if want < 1 or takes == 'nothing' then return end
  room = bytes
  local takes_suspects, holds, has_lanes, has_kept_lanes, has_unstarted = false, false, false, false, false
  if redis.call('EXISTS', DEADLINES, LANES, LIMITS, FLOWS, UNSTARTED, STOPPED, SUSPECTS .. 'high', SUSPECTS .. 'default',
      SUSPECTS .. 'low') > 0 then
    if redis.call('EXISTS', STOPPED) == 1 then return end
    takes_suspects = takes ~= 'sound' and takes ~= 'isolated' and takes ~= 'lanes'
    holds = redis.call('EXISTS', PROCESSING .. worker) == 1
    has_deadlines = redis.call('EXISTS', DEADLINES) == 1
    has_lanes = redis.call('EXISTS', LANES) == 1
    has_unstarted = redis.call('EXISTS', UNSTARTED) == 1
    has_pauses = redis.call('EXISTS', PAUSED) == 1
    has_kept_lanes = has_pauses or redis.call('EXISTS', LIMITS, FLOWS) > 0 or (has_lanes and redis.call('HEXISTS', META, 'apart') == 1)
  end
  has_kept_lanes = has_kept_lanes or #share_lanes > 0

  -- Takes from one priority until so many are there. true: no other may follow.
  local function take_from(level, want)
    if takes_suspects and redis.call('EXISTS', SUSPECTS .. level) == 1 then
      if holds or #got > 0 then
        alone = 2
        if not holds then return true end
      else
        alone = take(SUSPECTS .. level, level, 1)
        redis.call('ZREM', WAKE_ALONE, 'w')
        if alone == 1 then return true end
      end
    end
    if takes == 'suspects' then return not weights and redis.call('EXISTS', QUEUE .. level) == 1 end
    local takes_ready = takes ~= 'isolated' and takes ~= 'lanes'
    -- Several types with slots could have all seats together, so the others are the first ones as often.
    local ready_first = takes_ready and #share_lanes > 0 and now % 2 == 1
    if has_lanes and not ready_first then take_from_lanes(level, want, digest, turn) end
    if #got < want and takes_ready then take(QUEUE .. level, level, want - #got, has_kept_lanes) end
    if has_lanes and ready_first and #got < want then take_from_lanes(level, want, digest, turn) end
    return room <= 0
  end

  if weights then
    share_out(weights, want, got, take_from)
  else
    for _, level in ipairs(LEVELS) do
      if take_from(level, want) or #got >= want then break end
    end
  end
  if #got == 0 then return end
  redis.call('RPUSH', PROCESSING .. worker, unpack(got))
  if has_deadlines then redis.call('ZREM', DEADLINES, unpack(got)) end
  if has_unstarted then
    for _, entry in ipairs(got) do free_name(entry, UNSTARTED) end
  end
end
