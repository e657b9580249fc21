//! Who divides work among threads: we do, candle does not.

/// candle's setting for the threads of its own pool.
const CANDLE_THREADS: &str = "CANDLE_NUM_THREADS";

/// Keeps candle from dividing elementwise operations among threads, unless the user asked for it.
///
/// candle 0.11 gives every operation over 65,536 numbers to one pool for the whole process, whose
/// threads spin while they wait, one operation at a time. Stages that run side by side would wait
/// for each other there, and a stage with one thread would burn two: Caser and SASRec with batches
/// of 256 lost two thirds of their speed. Rayon's pools, one for each running stage, divide the
/// work here.
///
/// Call it first in `main`: it sets an environment variable, which must not happen while another
/// thread may read one.
#[expect(
    unsafe_code,
    reason = "candle reads no other setting, and this is before any thread begins"
)]
pub fn keep_candle_to_one_thread() {
    if std::env::var_os(CANDLE_THREADS).is_none() {
        // SAFETY: by the contract above no other thread runs yet.
        unsafe { std::env::set_var(CANDLE_THREADS, "1") };
    }
}
