//! Helpers that the interpreter knows itself: maps, loops, events and reads of its own memory.

use super::{Access, Args, Helper, Interpreter, MapState, Trap, maps};

const EFAULT: i64 = 14;
/// Most turns of `bpf_loop` (`BPF_MAX_LOOPS`).
const MAX_LOOPS: u64 = 1 << 23;

/// Addresses that stand for functions.
const FUNCTION_BASE: u64 = 0xfffe_0000_0000_0000;

/// What `ld_imm64` gives for the function that begins at that slot.
pub(super) fn function_handle(slot: usize) -> u64 {
    FUNCTION_BASE + slot as u64
}

fn function_slot(address: u64) -> Result<usize, Trap> {
    let slot = address.checked_sub(FUNCTION_BASE);
    let slot = slot.filter(|slot| *slot <= u64::from(u32::MAX));
    slot.map(|slot| slot as usize)
        .ok_or(Trap::OutOfBounds { address, size: 0 })
}

impl Interpreter<'_> {
    pub(super) fn call_helper(
        &mut self,
        slot: usize,
        helper: Helper,
        args: Args,
        depth: u32,
    ) -> Result<u64, Trap> {
        if let Some(function) = self.helpers.get_mut(&helper) {
            return function(&mut self.memory, args);
        }
        match helper {
            Helper::MAP_LOOKUP_ELEM => self.map_lookup(args),
            Helper::MAP_UPDATE_ELEM => self.map_update(args),
            Helper::MAP_DELETE_ELEM => self.map_delete(args),
            Helper::LOOP => self.run_loop(args, depth),
            Helper::FOR_EACH_MAP_ELEM => self.for_each(args, depth),
            Helper::RINGBUF_OUTPUT => self.output(args.get(2)?, args.get(3)?),
            Helper::PERF_EVENT_OUTPUT => self.output(args.get(4)?, args.get(5)?),
            Helper::RINGBUF_RESERVE => {
                let size = args.get(2)?.min(1 << 20) as usize;
                Ok(self.memory.add(vec![0; size], Access::ReadWrite))
            }
            Helper::RINGBUF_SUBMIT => self.submit(args.get(1)?),
            Helper::RINGBUF_DISCARD => {
                self.memory.remove(args.get(1)?);
                Ok(0)
            }
            Helper::PROBE_READ | Helper::PROBE_READ_KERNEL | Helper::PROBE_READ_USER => {
                self.probe_read(args)
            }
            Helper::PROBE_READ_STR
            | Helper::PROBE_READ_KERNEL_STR
            | Helper::PROBE_READ_USER_STR => self.probe_read_string(args),
            _ => Err(Trap::UnknownHelper { slot, helper }),
        }
    }

    fn map_at(&mut self, address: u64) -> Result<&mut MapState, Trap> {
        let index = maps::index_of(address).ok_or(Trap::NoMap { address })?;
        self.maps.get_mut(index).ok_or(Trap::NoMap { address })
    }

    /// The map's index and the key that `r2` points to.
    fn map_and_key(&mut self, args: Args) -> Result<(u64, Vec<u8>), Trap> {
        let map = args.get(1)?;
        let size = u64::from(self.map_at(map)?.key_size);
        Ok((map, self.memory.read(args.get(2)?, size)?))
    }

    fn map_lookup(&mut self, args: Args) -> Result<u64, Trap> {
        let (map, key) = self.map_and_key(args)?;
        Ok(self.map_at(map)?.lookup(&key).unwrap_or(0))
    }

    fn map_update(&mut self, args: Args) -> Result<u64, Trap> {
        let (map, key) = self.map_and_key(args)?;
        let size = u64::from(self.map_at(map)?.value_size);
        let value = self.memory.read(args.get(3)?, size)?;
        let flags = args.get(4)?;
        let index = maps::index_of(map).ok_or(Trap::NoMap { address: map })?;
        let result = self.maps[index].update(&mut self.memory, &key, &value, flags);
        Ok(result.map_or_else(negated, |()| 0))
    }

    fn map_delete(&mut self, args: Args) -> Result<u64, Trap> {
        let (map, key) = self.map_and_key(args)?;
        let result = self.map_at(map)?.delete(&key);
        Ok(result.map_or_else(negated, |()| 0))
    }

    /// `bpf_loop(count, callback, ctx, flags)`: the number of turns taken.
    fn run_loop(&mut self, args: Args, depth: u32) -> Result<u64, Trap> {
        let (count, context) = (args.get(1)?, args.get(3)?);
        let callback = function_slot(args.get(2)?)?;
        if args.get(4)? != 0 {
            return Ok(negated(maps::EINVAL));
        }
        if count > MAX_LOOPS {
            return Ok(negated(maps::E2BIG));
        }
        for index in 0..count {
            if self.call(callback, &[index, context], depth + 1)? != 0 {
                return Ok(index + 1);
            }
        }
        Ok(count)
    }

    /// `bpf_for_each_map_elem(map, callback, ctx, flags)`: the number of elements visited.
    fn for_each(&mut self, args: Args, depth: u32) -> Result<u64, Trap> {
        let (map, context) = (args.get(1)?, args.get(3)?);
        let callback = function_slot(args.get(2)?)?;
        if args.get(4)? != 0 {
            return Ok(negated(maps::EINVAL));
        }
        let mut visited = 0;
        for key in self.map_at(map)?.keys() {
            // The callback may have deleted it meanwhile.
            let Some(value) = self.map_at(map)?.lookup(&key) else {
                continue;
            };
            let key = self.memory.add(key, Access::ReadOnly);
            let result = self.call(callback, &[map, key, value, context], depth + 1);
            self.memory.remove(key);
            visited += 1;
            if result? != 0 {
                break;
            }
        }
        Ok(visited)
    }

    fn output(&mut self, address: u64, size: u64) -> Result<u64, Trap> {
        let event = self.memory.read(address, size)?;
        self.events.push(event);
        Ok(0)
    }

    fn submit(&mut self, address: u64) -> Result<u64, Trap> {
        let event = self.memory.region(address)?;
        self.events.push(event);
        self.memory.remove(address);
        Ok(0)
    }

    /// `probe_read(dst, size, src)`: what is not there reads as zeros and an error.
    fn probe_read(&mut self, args: Args) -> Result<u64, Trap> {
        let (destination, size) = (args.get(1)?, args.get(2)?);
        match self.memory.read(args.get(3)?, size) {
            Ok(bytes) => self.memory.write(destination, &bytes).map(|()| 0),
            Err(_) => {
                let zeros = vec![0; size.min(1 << 20) as usize];
                self.memory.write(destination, &zeros)?;
                Ok(negated(EFAULT))
            }
        }
    }

    /// `probe_read_str(dst, size, src)`: bytes written, the NUL included.
    fn probe_read_string(&mut self, args: Args) -> Result<u64, Trap> {
        let (destination, size) = (args.get(1)?, args.get(2)?);
        let Some(limit) = size.checked_sub(1) else {
            return Ok(0);
        };
        match self.memory.read_string(args.get(3)?, limit) {
            Ok(mut text) => {
                text.push(0);
                self.memory.write(destination, &text)?;
                Ok(text.len() as u64)
            }
            Err(_) => {
                self.memory.write(destination, &[0])?;
                Ok(negated(EFAULT))
            }
        }
    }
}

/// An errno as helpers return it.
fn negated(errno: i64) -> u64 {
    (-errno) as u64
}
