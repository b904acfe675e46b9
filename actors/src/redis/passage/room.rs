//! Room for so many at a time, which may become more or less while they are there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Room {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    seats: Arc<Semaphore>,
    count: Mutex<Count>,
}

#[derive(Debug)]
struct Count {
    size: usize,
    /// Seats that are taken and go when they are given back.
    surplus: usize,
}

/// A place in it, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    permit: Option<OwnedSemaphorePermit>,
    room: Room,
}

impl Room {
    pub fn new(size: usize) -> Self {
        let seats = Arc::new(Semaphore::new(size));
        let count = Mutex::new(Count { size, surplus: 0 });
        Self { inner: Arc::new(Inner { seats, count }) }
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        // Two numbers, changed without a panic in between.
        self.inner.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For how many there is room.
    pub fn size(&self) -> usize {
        self.count().size
    }

    /// How many are there.
    pub fn taken(&self) -> usize {
        let count = self.count();
        (count.size + count.surplus).saturating_sub(self.inner.seats.available_permits())
    }

    /// Makes room for more, or for fewer: whoever is there already stays.
    pub fn resize(&self, size: usize) {
        let mut count = self.count();
        if size > count.size {
            let more = size - count.size;
            let kept = more.min(count.surplus);
            count.surplus -= kept;
            self.inner.seats.add_permits(more - kept);
        } else {
            let fewer = count.size - size;
            count.surplus += fewer - self.inner.seats.forget_permits(fewer);
        }
        count.size = size;
    }

    /// A seat, as soon as there is one.
    pub async fn seat(&self) -> Seat {
        // It is never closed.
        let permit = Arc::clone(&self.inner.seats).acquire_owned().await.ok();
        Seat { permit, room: self.clone() }
    }

    /// A seat, if there is one now.
    pub fn try_seat(&self) -> Option<Seat> {
        let permit = Arc::clone(&self.inner.seats).try_acquire_owned().ok()?;
        Some(Seat { permit: Some(permit), room: self.clone() })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut count = self.room.count();
        if count.surplus > 0 {
            count.surplus -= 1;
            if let Some(permit) = self.permit.take() {
                permit.forget();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whoever_is_there_stays_and_the_next_finds_the_new_size() {
        let room = Room::new(2);
        let (first, second) = (room.try_seat(), room.try_seat());
        assert!(first.is_some() && second.is_some() && room.try_seat().is_none());
        room.resize(1);
        assert_eq!((room.size(), room.taken()), (1, 2));
        drop(first);
        assert!(room.try_seat().is_none(), "one is there already");
        drop(second);
        assert!(room.try_seat().is_some());
    }

    #[tokio::test]
    async fn whoever_waits_gets_a_seat_that_is_added() {
        let room = Room::new(0);
        let waits = tokio::spawn({
            let room = room.clone();
            async move { room.seat().await }
        });
        tokio::task::yield_now().await;
        room.resize(1);
        assert!(waits.await.is_ok());
        assert_eq!(room.taken(), 0);
    }

    proptest! {
        /// Whatever happens in whatever order, there is room for as many as it says, and no more.
        #[test]
        fn it_never_loses_a_seat_and_never_has_one_too_many(
            steps in proptest::collection::vec((0usize..3, 0usize..6), 0..60),
        ) {
            let room = Room::new(3);
            let mut seats = Vec::new();
            for (what, n) in steps {
                match what {
                    0 => room.resize(n),
                    1 => drop(seats.pop()),
                    _ => {
                        let free = seats.len() < room.size();
                        let seat = room.try_seat();
                        prop_assert_eq!(seat.is_some(), free);
                        seats.extend(seat);
                    }
                }
                prop_assert_eq!(room.taken(), seats.len());
            }
        }
    }
}
