use super::super::schema::cells;
use super::*;

fn names(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("tcp-{index}")).collect()
}

/// What one mapping writes, another mapping of the same descriptor reads.
#[test]
fn attached_region_sees_every_cell() {
    let region = Region::create(3, &names(2), &[], b"{}").unwrap();
    region.listener(2, 1, cells::RECEIVED, 0).store(7, Ordering::Relaxed);
    let other = Region::attach(region.fileno()).unwrap();
    assert_eq!(other.workers(), 3);
    assert_eq!(other.listeners(), names(2));
    assert_eq!(other.descriptor(), b"{}");
    assert_eq!(other.boot_time_ns(), region.boot_time_ns());
    let cell = other.by_name(Some(2), "ingest_events_received_total", Some(1), None).unwrap();
    assert_eq!(cell.load(Ordering::Relaxed), 7);
}

/// Names are added while others read; an index keeps its name and its count.
#[test]
fn a_published_name_is_seen_after_a_refresh() {
    let region = Region::create(2, &names(1), &["level".to_owned()], b"one").unwrap();
    let reader = Region::attach(region.fileno()).unwrap();
    assert!(reader.refreshed().unwrap().is_none());
    region.listener(1, 0, cells::RECEIVED, 0).store(7, Ordering::Relaxed);
    let stages = ["level".to_owned(), "size_guard".to_owned()];
    let region = region.publish(&names(2), &stages, b"two").unwrap();
    region.listener(1, 1, cells::RECEIVED, 0).store(9, Ordering::Relaxed);
    assert_eq!((reader.listeners().len(), reader.descriptor()), (1, &b"one"[..]));
    let reader = reader.refreshed().unwrap().unwrap();
    assert_eq!((reader.listeners(), reader.stages()), (&names(2)[..], &stages[..]));
    assert_eq!(reader.descriptor(), b"two");
    let received = |at| reader.listener(1, at, cells::RECEIVED, 0).load(Ordering::Relaxed);
    assert_eq!((received(0), received(1)), (7, 9));
    assert_eq!(Region::attach(region.fileno()).unwrap().listeners(), names(2));
}

/// A name never changes its place, and there is room for so many and no more.
#[test]
fn what_cannot_be_published_changes_nothing() {
    let region = Region::create(1, &names(2), &[], b"").unwrap();
    let many = names(2 + SPARE_LISTENERS + 1);
    let text = vec![b' '; 2 * SPARE_DIRECTORY_BYTES];
    for (listeners, text) in [(&names(1), &[][..]), (&many, &[]), (&names(2), &text)] {
        assert!(matches!(region.publish(listeners, &[], text), Err(Error::Invalid(_))));
    }
    assert!(region.refreshed().unwrap().is_none());
    assert!(region.publish(&many[..2 + SPARE_LISTENERS], &[], b"").is_ok());
}

/// A reader finds one version or the next and no mixture of them.
#[test]
fn readers_see_whole_directories() {
    let region = Region::create(1, &names(1), &[], &[b'0'; 4096]).unwrap();
    let mut reader = Region::attach(region.fileno()).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut region = region;
            for version in 1..2000_usize {
                let text = vec![b'0' + u8::try_from(version % 10).unwrap(); 4096];
                region = region.publish(&names(1 + version / 200), &[], &text).unwrap();
            }
        });
        while reader.directory.version < 1999 {
            // No server publishes as often as this: a reader may be overtaken each time it tries.
            let Ok(refreshed) = reader.refreshed() else { continue };
            reader = refreshed.unwrap_or(reader);
            let version = usize::try_from(reader.directory.version).unwrap();
            let digit = b'0' + u8::try_from(version % 10).unwrap();
            assert!(reader.descriptor().iter().all(|byte| *byte == digit));
            assert_eq!(reader.listeners().len(), 1 + version / 200);
        }
    });
}

/// A region of another layout is refused, not misread.
#[test]
fn foreign_layout_is_refused() {
    let region = Region::create(1, &names(1), &[], b"").unwrap();
    region.mapping.word(2).store(1, Ordering::Relaxed);
    assert!(matches!(Region::attach(region.fileno()), Err(Error::Layout(_))));
}

/// More names than there is room for would lie in the cells of others.
#[test]
fn a_directory_that_does_not_fit_is_refused() {
    let region = Region::create(1, &names(1), &[], b"").unwrap();
    let directory = Directory { listeners: names(200), version: 1, ..region.directory.clone() };
    directory.write(&region.mapping, region.sizes.areas());
    assert!(matches!(Region::attach(region.fileno()), Err(Error::Layout(_))));
    assert!(matches!(region.refreshed(), Err(Error::Layout(_))));
}

/// Every duration lands in the first bucket whose bound it does not exceed.
#[test]
fn durations_land_in_their_bucket() {
    let region = Region::create(1, &names(1), &[], b"").unwrap();
    let bucket = |label| {
        let cell = region.by_name(Some(0), "ingest_journal_sync_seconds", None, Some(label));
        cell.unwrap().load(Ordering::Relaxed)
    };
    for milliseconds in [1, 4, 5, 20_000] {
        let duration = Duration::from_millis(milliseconds);
        observe(&region, 0, cells::SYNC_SECONDS, duration);
    }
    assert_eq!((bucket("0.001"), bucket("0.005"), bucket("+Inf")), (1, 2, 1));
    assert_eq!(bucket("sum"), 20_010_000_000);
}
