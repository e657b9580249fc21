//! Loops compiled for the widest vectors the machine has.

/// Makes a function whose body is compiled once for every width of vectors.
///
/// A closure would do, but a large one is not inlined, and then it is compiled for the narrowest.
macro_rules! wide {
    ($(#[$meta:meta])* fn $name:ident<'a>($($argument:ident: $type:ty),* $(,)?) -> $out:ty $body:block) => {
        $(#[$meta])*
        pub fn $name<'a>($($argument: $type),*) -> $out {
            struct Kernel<'a> {
                $($argument: $type),*
            }
            impl<'a> pulp::WithSimd for Kernel<'a> {
                type Output = $out;

                #[inline(always)]
                fn with_simd<S: pulp::Simd>(self, _: S) -> $out {
                    let Self { $($argument),* } = self;
                    $body
                }
            }
            pulp::Arch::new().dispatch(Kernel { $($argument),* })
        }
    };
}

pub(super) use wide;
