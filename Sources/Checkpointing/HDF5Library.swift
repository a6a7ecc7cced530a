import CHDF5
import Host
import Synchronization

/// The C library: every call goes through `call`.
///
/// libhdf5 is not safe with threads in every build, so one lock for the whole process lets one call
/// in at a time. Calls do not nest.
enum HDF5Library {
    private static let lock = Mutex(())

    /// Runs one or more calls of libhdf5, alone in this process and without its own error messages.
    static func call<Value>(_ body: () -> Value) -> Value {
        lock.withLock { _ in
            causalgen_h5e_silence()
            return body()
        }
    }
}

/// Owns an open object of libhdf5 and closes it.
final class HDF5Identifier {
    let value: hid_t
    private let close: @convention(c) (hid_t) -> herr_t
    /// The bytes that the object's file reads from; they outlive the closing of the object.
    private let backing: MappedFile?

    /// Takes what `open` returns.
    ///
    /// - Throws: `failure` where `open` returns an error.
    init(
        _ close: @escaping @convention(c) (hid_t) -> herr_t, backing: MappedFile?,
        orThrow failure: @autoclosure () -> Failure, open: () -> hid_t
    ) throws(Failure) {
        let value = HDF5Library.call(open)
        guard value >= 0 else { throw failure() }
        self.value = value
        self.close = close
        self.backing = backing
    }

    deinit {
        let (close, value) = (close, value)
        _ = HDF5Library.call { close(value) }
    }
}

/// Where in which file something happens; it phrases the errors.
struct HDF5Place: Sendable {
    /// The file's path, or nil for an image that is being made in memory.
    let file: String?
    /// The object's path inside the file, such as `/weights`.
    let object: String

    func child(_ name: String) -> HDF5Place {
        HDF5Place(file: file, object: object == "/" ? "/\(name)" : "\(object)/\(name)")
    }

    /// Damage (65) when reading; an internal error (70) when making an image in memory.
    func failure(_ what: String) -> Failure {
        guard let file else {
            return Failure(
                .internalError,
                "cannot make '\(object)' in the checkpoint's image: \(what); is there enough memory?"
            )
        }
        return Failure(.damaged, "'\(file)': '\(object)' \(what)")
    }
}
