//! IR run as documented, optimized IR, and the instructions of both show the same.

use std::cell::RefCell;
use std::rc::Rc;

use fathom_bpf::helper::Helper;
use fathom_bpf::interpreter::{Access, Interpreter};

use super::generate::{CONTEXT_SIZE, Random, program};
use super::interpret::{CLOCK, Observed, PID_TGID, Print, World, interpret};
use crate::backend::{BackendError, Options, compile, optimize};
use crate::ir::{Program, verify};

const PROGRAMS: u64 = 2000;

#[test]
fn random_programs_keep_their_meaning() {
    let mut too_large = 0;
    for seed in 0..PROGRAMS {
        let program = program(seed);
        assert_eq!(
            verify(&program),
            Vec::<String>::new(),
            "seed {seed}\n{program}"
        );
        let world = world(seed);
        let expected = interpret(&program, world.clone());
        let mut optimized = program.clone();
        optimize(&mut optimized);
        let found = interpret(&optimized, world.clone());
        assert_eq!(
            found, expected,
            "seed {seed}, optimized IR\n{program}\n{optimized}"
        );
        for optimize in [false, true] {
            for sign_extension in [false, true] {
                let options = Options {
                    optimize,
                    sign_extension,
                };
                match run(&program, &options, world.clone()) {
                    Ok(found) => assert_eq!(
                        found, expected,
                        "seed {seed}, {options:?}\n{program}\n{optimized}"
                    ),
                    Err(_) => too_large += 1,
                }
            }
        }
    }
    assert!(
        too_large < PROGRAMS / 10,
        "{too_large} programs were too large"
    );
}

fn world(seed: u64) -> World {
    let mut random = Random(seed * 2 + 1);
    let context = (0..CONTEXT_SIZE)
        .map(|_| {
            if random.below(3) == 0 {
                random.next() as u8
            } else {
                0
            }
        })
        .collect();
    World {
        context,
        random: seed,
    }
}

/// Compiles and runs.
fn run(program: &Program, options: &Options, world: World) -> Result<Observed, BackendError> {
    let compiled = compile(program, options)?;
    let text = || format!("{options:?}\n{program}\n{:#?}", compiled.insns);
    let prints: Rc<RefCell<Vec<Print>>> = Rc::default();
    let shared = Rc::new(RefCell::new(world));
    let mut machine = Interpreter::from_insns(compiled.insns.clone());
    machine.helper(Helper::GET_CURRENT_PID_TGID, |_, _| Ok(PID_TGID));
    machine.helper(Helper::KTIME_GET_NS, |_, _| Ok(CLOCK));
    let random = Rc::clone(&shared);
    machine.helper(Helper::GET_PRANDOM_U32, move |_, _| {
        Ok(random.borrow_mut().next_random())
    });
    machine.helper(Helper::PROBE_READ_KERNEL, |memory, args| {
        let bytes = World::kernel_bytes(args.get(3)?, args.get(2)? as usize);
        memory.write(args.get(1)?, &bytes)?;
        Ok(0)
    });
    let log = Rc::clone(&prints);
    machine.helper(Helper::TRACE_PRINTK, move |memory, args| {
        let bytes = memory.read(args.get(1)?, args.get(2)?)?;
        let numbers = [args.get(3)?, args.get(4)?, args.get(5)?];
        log.borrow_mut().push(Print { bytes, numbers });
        Ok(log.borrow().len() as u64)
    });
    let context = machine
        .memory
        .add(shared.borrow().context.clone(), Access::ReadOnly);
    let result = machine
        .run(&[context])
        .unwrap_or_else(|trap| panic!("{trap}\n{}", text()));
    let prints = prints.borrow().clone();
    Ok(Observed { prints, result })
}
