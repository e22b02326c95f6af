//! Where the keeper's thread offers a draft to the writer's, which alone changes what the
//! segments' names stand for. The writer never waits for the keeper here.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::Result;

/// A draft that is to take the place of a segment.
#[derive(Debug)]
pub(in super::super) struct Swap {
    pub draft: PathBuf,
    pub path: PathBuf,
    /// Of the draft.
    pub bytes: u64,
}

/// What the writer made of it. False: the segment is not there any more.
type Answer = Result<bool>;

#[derive(Debug, Default)]
pub(super) struct Exchange {
    is_offered: AtomicBool,
    place: Mutex<Place>,
}

#[derive(Debug, Default)]
enum Place {
    #[default]
    Empty,
    Offered(Swap),
    Answered(Answer),
}

impl Exchange {
    /// The keeper's side.
    pub fn offer(&self, swap: Swap) {
        *self.lock() = Place::Offered(swap);
        self.is_offered.store(true, Ordering::Release);
    }

    /// The answer to what was offered, once there is one.
    pub fn answer(&self) -> Option<Answer> {
        let mut place = self.lock();
        match std::mem::take(&mut *place) {
            Place::Answered(answer) => Some(answer),
            other => {
                *place = other;
                None
            }
        }
    }

    /// The writer's side: have `put` do what is offered, if anything is.
    pub fn accept(&self, put: impl FnOnce(&Swap) -> Answer) {
        if !self.is_offered.load(Ordering::Acquire) {
            return;
        }
        // The keeper holds it for a moment only, but at its priority that may last: next time.
        let Ok(mut place) = self.place.try_lock() else { return };
        if let Place::Offered(swap) = &*place {
            let answer = put(swap);
            *place = Place::Answered(answer);
            self.is_offered.store(false, Ordering::Release);
        }
    }

    /// No code panics while it holds the lock, so a poisoned place is still a whole one.
    fn lock(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
