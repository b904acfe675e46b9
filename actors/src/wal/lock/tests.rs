#![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

use super::*;

#[test]
fn the_second_one_is_refused_by_name_and_the_lock_goes_with_its_owner() {
    let dir = tempfile::tempdir().unwrap();
    let first = DataDir::lock(dir.path().join("data")).unwrap();
    let second = DataDir::lock(first.path()).unwrap_err();
    assert!(
        matches!(&second, LockError::Held { pid: Some(pid), .. } if *pid == std::process::id())
    );
    assert!(second.to_string().contains(&std::process::id().to_string()), "{second}");
    let path = first.path().to_owned();
    drop(first);
    DataDir::lock(path).unwrap();
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let error = DataDir::lock(file.join("data")).unwrap_err();
    assert!(error.to_string().contains("file/data"), "{error}");
}

#[test]
fn a_directory_that_was_removed_is_taken_again_unless_another_was_quicker() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::lock(dir.path().join("data")).unwrap();
    data.renew().unwrap();
    std::fs::remove_dir_all(data.path()).unwrap();
    data.renew().unwrap();
    assert!(matches!(DataDir::lock(data.path()), Err(LockError::Held { .. })));

    std::fs::remove_file(data.path().join("LOCK")).unwrap();
    let quicker = DataDir::lock(data.path()).unwrap();
    assert!(matches!(data.renew(), Err(LockError::Held { .. })));
    drop(quicker);
    data.renew().unwrap();
    assert!(matches!(DataDir::lock(data.path()), Err(LockError::Held { .. })));
}
