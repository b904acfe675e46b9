//! Where readings come from.

use std::fmt;

use async_trait::async_trait;

use super::series::Sample;

/// Something that can be read.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// A name for logs and for the metric that says whether it answers. MUST NOT change.
    fn name(&self) -> &str;

    /// Reads it. MUST NOT block the thread; may be dropped at any await, when its deadline has
    /// passed. A panic is caught, and counts as no answer.
    async fn collect(&self) -> Sample;
}

impl fmt::Debug for dyn Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(&self.name()).finish()
    }
}

/// A source made of a name and an async closure.
pub struct SourceFn<F> {
    name: &'static str,
    read: F,
}

impl<F, R> SourceFn<F>
where
    F: Fn() -> R + Send + Sync + 'static,
    R: Future<Output = Sample> + Send + 'static,
{
    /// Reads by calling `read`.
    pub const fn new(name: &'static str, read: F) -> Self {
        Self { name, read }
    }
}

impl<F> fmt::Debug for SourceFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SourceFn").field(&self.name).finish()
    }
}

#[async_trait]
impl<F, R> Source for SourceFn<F>
where
    F: Fn() -> R + Send + Sync + 'static,
    R: Future<Output = Sample> + Send + 'static,
{
    fn name(&self) -> &str {
        self.name
    }

    async fn collect(&self) -> Sample {
        (self.read)().await
    }
}
