//! What time does to connections: those that are late are closed, paused ones are read again.
//! All are looked at four times a second, which for thousands of them takes microseconds.

use super::connections::Connection;
use super::receiver::Receiver;
use super::rules::Rules;
use super::{Intake, socket};
use crate::clock;
use crate::counters::{EXPIRIES, add, cells};

/// Why a connection is closed for what its sender did or did not do, in the order of [`EXPIRIES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expiry {
    Idle = 0,
    Frame = 1,
    Memory = 2,
}

/// What is due for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Nothing,
    Resumption,
    Opening,
    Expiry(Expiry),
}

fn due(connection: &Connection, rules: &Rules, now_ns: u64) -> Due {
    let times = &connection.times;
    let is_over = |since_ns: u64, limit_ns: u64| now_ns.saturating_sub(since_ns) > limit_ns;
    if let Some(opening) = connection.opening.as_ref().filter(|of| !of.is_of_known_sender()) {
        return if opening.is_late(now_ns) { Due::Opening } else { Due::Nothing };
    }
    if times.is_paused() {
        return if times.resume_ns <= now_ns { Due::Resumption } else { Due::Nothing };
    }
    let expiry = match times.frame_ns {
        // It was read after its deadline. That more of it waits, as it mostly does of one that
        // drips, excuses nothing.
        Some(began_ns) if times.active_ns.saturating_sub(began_ns) > rules.frame_ns => {
            return Due::Expiry(Expiry::Frame);
        }
        Some(began_ns) if is_over(began_ns, rules.frame_ns) => Expiry::Frame,
        _ if is_over(times.active_ns, rules.idle_ns) => Expiry::Idle,
        _ => return Due::Nothing,
    };
    // What waits in the kernel was not read in time, and that is not the sender's fault.
    let is_ours = socket::readable_bytes(&connection.socket) > 0;
    if is_ours { Due::Nothing } else { Due::Expiry(expiry) }
}

impl Receiver {
    /// A period of the timer has passed.
    pub(super) fn keep_deadlines(&mut self, intake: &mut impl Intake) {
        self.timer.acknowledge();
        self.now_ns = clock::monotonic_ns();
        for place in self.connections.places() {
            let Some(connection) = self.connections.at(place) else { continue };
            match due(connection, &self.rules[connection.listener], self.now_ns) {
                Due::Resumption => self.end_pause(place),
                Due::Opening => self.end_late_opening(place),
                // What it leaves has to find room.
                Due::Expiry(expiry) if intake.has_room() && self.ring.has_room(0) => {
                    self.expire(place, expiry, intake);
                }
                Due::Nothing | Due::Expiry(_) => {}
            }
        }
        // A failure here is met again, and reported, by the next tick.
        let _ = self.resume_accepting();
    }

    /// Closes a connection for what its sender did; what it leaves of a frame is a dead letter.
    fn expire(&mut self, place: usize, expiry: Expiry, intake: &mut impl Intake) {
        let Some(connection) = self.connections.at(place) else { return };
        let config = &self.listeners[connection.listener].config;
        let (limits, pending) = (&config.limits, connection.framer.pending());
        let reason = expiry as usize;
        add(self.region.listener(self.worker, config.index, cells::CONNECTIONS_EXPIRED, reason), 1);
        let peer = connection.sender.peer;
        self.notices.add(config.index, EXPIRIES[reason], peer, || match expiry {
            Expiry::Idle => {
                format!("nothing came for {} s", limits.idle_seconds.unwrap_or_default())
            }
            Expiry::Frame => {
                let seconds = limits.frame_seconds.unwrap_or_default();
                format!("a frame, {pending} bytes so far, was incomplete for {seconds} s")
            }
            Expiry::Memory => {
                format!("its incomplete frame, {pending} bytes so far, took the most memory")
            }
        });
        self.give_up(place, intake);
    }

    /// While incomplete frames take too much memory, the largest is given up.
    pub(super) fn bound_partials(&mut self, intake: &mut impl Intake) {
        // What it leaves has to find room: without any, nothing more is read either.
        while self.partial_bytes > self.bounds.partial_bytes
            && intake.has_room()
            && self.ring.has_room(0)
        {
            let Some(place) = self.connections.largest_partial() else { return };
            self.expire(place, Expiry::Memory, intake);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use serde_json::json;

    use super::*;
    use crate::receive::Sender;
    use crate::receive::connections::Times;

    /// A sender is not blamed for what waits in the kernel, but one whose frame was read after its
    /// deadline is late, however busily it drips.
    #[test]
    fn who_drips_is_late_although_more_waits() {
        let config = json!({
            "index": 0, "name": "", "kind": "tcp", "address": "", "descriptor": null,
            "format": "json", "unparsed": "keep", "time_zone": "UTC", "labels": {},
            "allow": [], "deny": [], "proxies": [], "tls": null,
            "limits": {
                "line_bytes": 100, "connections": null, "source_connections": null,
                "idle_seconds": null, "frame_seconds": 1e-7, "opening_seconds": 1.0,
                "source_events_per_second": null, "source_bytes_per_second": null,
            },
        });
        let rules = Rules::new(&serde_json::from_value(config).unwrap()).unwrap();
        let (mut sender, receiver) = UnixStream::pair().unwrap();
        sender.write_all(b"x").unwrap();
        let mut connection = Connection::new(receiver.into(), 0, Sender::default());
        let read_at = |active_ns| Times { active_ns, frame_ns: Some(1000), resume_ns: 0 };
        connection.times = read_at(1050);
        assert_eq!(due(&connection, &rules, 1200), Due::Nothing);
        connection.times = read_at(1150);
        assert_eq!(due(&connection, &rules, 1200), Due::Expiry(Expiry::Frame));
    }
}
