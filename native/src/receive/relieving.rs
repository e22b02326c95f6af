//! What a worker does about its load: it measures it, shows it, and passes connections on.

use std::sync::atomic::Ordering;

use super::balance::{self, Decision, LEAST_LOAD_FOR_TURNS, Patience};
use super::moving::Cause;
use super::reading::READ_BYTES;
use super::receiver::Receiver;
use crate::clock;
use crate::counters::cells;

/// The work is measured this often, whatever the loop timer does.
const INTERVAL_NS: u64 = 200_000_000;
/// Weight of the newest measurement of the processor time.
const NEWEST: f64 = 0.5;

impl Receiver {
    /// Passes connections on when this worker has clearly more to do than another.
    pub(super) fn balance(&mut self) {
        let now_ns = clock::monotonic_ns();
        if now_ns - self.moving.measured_ns < INTERVAL_NS {
            return;
        }
        self.measure_process(now_ns);
        self.measure_connections(now_ns);
        self.forget_missing();
        let own = self.work_of(self.worker);
        let takers = self.takers().filter(|work| work.may_take_from(&own));
        let Some(taker) = takers.min_by_key(|work| work.load) else {
            self.moving.patience = Patience::default();
            return;
        };
        let mut candidates = std::mem::take(&mut self.moving.candidates);
        candidates.retain(|(_, place)| {
            let connection = self.connections.get(*place);
            connection.is_some_and(|one| self.serves(taker.worker, one.listener))
        });
        let decision = balance::decide(own.load, taker.load, &mut candidates);
        match self.moving.patience.confirm(decision) {
            Decision::Keep => {}
            Decision::Give(count) => {
                let places: Vec<usize> = candidates[..count].iter().map(|(_, at)| *at).collect();
                // What does not go with this message may go next time.
                self.pass_on(&places, taker.worker, Cause::Balance);
            }
            Decision::Rotate => {
                let (load, place) = candidates[0];
                if let Some(connection) = self.connections.at(place) {
                    connection.takes_turns = true;
                    self.arena.table().entry(place).note_turns(true);
                    self.show_load(own.load - load);
                }
            }
        }
        self.moving.candidates = candidates;
    }

    /// A share of a core is shown in millionths.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn measure_process(&mut self, now_ns: u64) {
        let process_ns = clock::process_ns();
        let elapsed = (now_ns - self.moving.measured_ns) as f64;
        let newest = (process_ns - self.moving.process_ns) as f64 / elapsed * 1e6;
        let cell = self.region.worker(self.worker, cells::BUSY_RATIO, 0);
        let before = cell.load(Ordering::Relaxed) as f64;
        cell.store((before + (newest - before) * NEWEST).round() as u64, Ordering::Relaxed);
        self.moving.measured_ns = now_ns;
        self.moving.process_ns = process_ns;
    }

    /// What stays is shown; what takes turns is everybody's.
    fn measure_connections(&mut self, now_ns: u64) {
        let mut staying = self.moving.datagrams.measure(now_ns);
        self.moving.candidates.clear();
        for place in self.connections.places() {
            let Some(connection) = self.connections.at(place) else { continue };
            let load = connection.load.measure(now_ns);
            connection.takes_turns &= load >= LEAST_LOAD_FOR_TURNS;
            if connection.takes_turns {
                continue;
            }
            staying += load;
            if connection.is_movable() && !connection.times.is_paused() {
                self.moving.candidates.push((load, place));
            }
        }
        self.show_load(staying);
    }

    fn show_load(&self, load: u64) {
        self.region.worker(self.worker, cells::LOAD, 0).store(load, Ordering::Relaxed);
    }

    /// Passes a connection that takes turns to the next worker. Called while its newest bytes are
    /// still to be decoded here, so that several workers decode at a time.
    pub(super) fn rotate(&mut self, place: usize) {
        let Some(connection) = self.connections.get(place) else { return };
        let (listener, load) = (connection.listener, connection.load.per_second);
        // With more of a frame than a read brings, the way would cost more than the turn gives.
        if connection.times.is_paused() || connection.partial_bytes() > READ_BYTES {
            return;
        }
        let most = self.work_of(self.worker).load + load;
        let mut takers = self.takers().filter(|work| self.serves(work.worker, listener)).peekable();
        let is_alone = takers.peek().is_none();
        let next = takers.find(|work| work.load <= most).map(|work| work.worker);
        drop(takers);
        if let Some(next) = next {
            self.pass_on(&[place], next, Cause::Rotation);
        } else if let Some(connection) = self.connections.at(place).filter(|_| !is_alone) {
            // With it there is less to do here than elsewhere without it.
            connection.takes_turns = false;
        }
    }
}
