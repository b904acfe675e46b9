use super::*;

const BAD: Record<'static> = Record::Set { db: 3, key: b"k\xff", value: b"v", expires_at: Some(9) };

fn poison() -> (tempfile::TempDir, Poison, Arc<Loading>) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let loading = Arc::new(Loading::new(true, 0));
    let poison = Poison::new(dir.path(), Arc::clone(&loading));
    (dir, poison, loading)
}

fn crash(crashed: &Crashed, place: Place, record: &Record<'_>) {
    let panic: Box<dyn Any + Send> = Box::new("it \"hurts\"");
    crashed.set(Crash::new(place, record, panic.as_ref())).expect("the first of this attempt");
}

#[test]
fn what_goes_well_is_tried_once() {
    let (_dir, poison, loading) = poison();
    let mut attempts = 0;
    let done = poison.guard(|aside, _| {
        attempts += 1;
        assert!(aside.is_empty());
        Ok::<_, String>(7)
    });
    assert_eq!((done.expect("no crash"), attempts, loading.figures().aside), (7, 1, 0));
}

#[test]
fn one_crash_is_forgiven_and_a_second_sets_the_record_aside() {
    let (dir, poison, loading) = poison();
    let place = Place::Record(41);
    let mut attempts = 0;
    let done = poison.guard(|aside, crashed| {
        attempts += 1;
        if !aside.contains(&place) {
            crash(crashed, place, &BAD);
            // What an attempt says that crashed does not matter.
            return Err("half done".to_owned());
        }
        Ok(())
    });
    done.expect("the third attempt goes through");
    assert_eq!((attempts, loading.figures().aside), (3, 1));
    let copy = dir.path().join("quarantine/record-00000000000000000041.json");
    let copy: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(copy).expect("the copy")).expect("JSON");
    assert_eq!(copy["key"], "k\\xff");
    assert_eq!(copy["panic"], "it \"hurts\"");
    let mut batch = RecordBatch::new();
    batch.push(&BAD);
    let hex: String = batch.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(copy["record"], hex);
    // Whoever loads next leaves it out at once.
    let again = poison.guard(|aside, _| Ok::<_, String>(aside.contains(&place)));
    assert!(again.expect("no crash"));
}

#[test]
fn the_same_number_in_another_snapshot_is_another_record() {
    let (_dir, poison, _) = poison();
    let mut places = [Place::Entry(5, 1), Place::Entry(9, 1), Place::Record(1)].into_iter();
    let done = poison.guard(|aside, crashed| {
        assert!(aside.is_empty(), "none crashed twice");
        if let Some(place) = places.next() {
            crash(crashed, place, &BAD);
        }
        Ok::<_, String>(())
    });
    done.expect("each crashed once");
}

#[test]
fn what_concerns_every_key_is_never_left_out() {
    let (dir, poison, _) = poison();
    let done = poison.guard(|_, crashed| {
        crash(crashed, Place::Record(2), &Record::Flush { db: None });
        Ok::<_, String>(())
    });
    assert!(matches!(done, Err(GuardError::Everything { place: Place::Record(2), .. })));
    assert!(!dir.path().join("quarantine").exists());
}

#[test]
fn a_key_that_cannot_be_removed_and_too_many_records_end_the_load() {
    let (_dir, one, _) = poison();
    let done = one.guard(|_, crashed| {
        crash(crashed, Place::Record(2), &BAD);
        Ok::<_, String>(())
    });
    assert!(matches!(done, Err(GuardError::Stuck { .. })), "{done:?}");

    let (_dir, many, loading) = poison();
    let mut attempts = 0;
    let done = many.guard(|aside, crashed| {
        attempts += 1;
        let lsn = (1..).find(|lsn| !aside.contains(&Place::Record(*lsn))).unwrap_or(0);
        crash(crashed, Place::Record(lsn), &BAD);
        Ok::<_, String>(())
    });
    assert!(matches!(done, Err(GuardError::Stuck { .. })), "{done:?}");
    assert_eq!((attempts, loading.figures().aside), (2 * MAX_ASIDE + 2, MAX_ASIDE as u64));
}

#[test]
fn a_failure_without_a_crash_is_the_attempts_own() {
    let (_dir, poison, _) = poison();
    let done: Result<(), _> = poison.guard(|_, _| Err("the disk".to_owned()));
    assert_eq!(done.expect_err("it failed").to_string(), "the disk");
}
