import CMPI
import Glibc
import Host
import Synchronization

/// The ranks of an MPI job, renumbered by (host, rank on that host).
package final class MPICommunicator: Communicator {
    package let rank: Int
    package let size: Int
    package let hostNames: [String]
    /// The handle never changes, and MPI was asked to allow any thread, one at a time.
    nonisolated(unsafe) private let communicator: MPI_Comm
    /// The longest single MPI message: MPI counts in C's int.
    private let messageBytes: Int
    private let agreed = Mutex<Failure?>(nil)

    /// The one tag of all messages: between two ranks they arrive in the order they were sent.
    private static let tag: Int32 = 0
    /// The bytes of a host name on the wire, the terminating zero included.
    private static let nameBytes = 256

    /// Initialises MPI and numbers the ranks.
    ///
    /// - Throws: exit code 69 where MPI is not usable.
    package init(messageBytes: Int) throws(Failure) {
        precondition(messageBytes > 0 && messageBytes <= Int(Int32.max))
        Self.avoidRefusedMemoryAccess()
        var provided: Int32 = 0
        let initialized = MPI_Init_thread(nil, nil, Int32(MPI_THREAD_SERIALIZED), &provided)
        try Self.check(initialized, "initialise MPI", .unavailable)
        guard provided >= Int32(MPI_THREAD_SERIALIZED) else {
            throw Failure(
                .unavailable,
                "this MPI library serves one thread only (it was built without thread support); "
                    + "install an Open MPI with threads, such as Debian's libopenmpi-dev")
        }
        let world = causalgen_mpi_comm_world()
        try Self.check(
            MPI_Comm_set_errhandler(world, causalgen_mpi_errors_return()), "set up MPI",
            .unavailable)
        var worldRank: Int32 = 0
        var worldSize: Int32 = 0
        try Self.check(MPI_Comm_rank(world, &worldRank), "ask MPI for the rank", .unavailable)
        try Self.check(MPI_Comm_size(world, &worldSize), "ask MPI for the size", .unavailable)
        let names = try Self.gatherHostNames(worldSize: Int(worldSize))
        let order = RankOrder.worldRanks(byHosts: names)
        var renumbered: MPI_Comm?
        let key = Int32(order.firstIndex(of: Int(worldRank))!)
        try Self.check(
            MPI_Comm_split(world, 0, key, &renumbered), "number the ranks", .unavailable)
        guard let renumbered else { throw Failure(.unavailable, "MPI gave no communicator") }
        communicator = renumbered
        rank = Int(key)
        size = Int(worldSize)
        hostNames = order.map { names[$0] }
        self.messageBytes = messageBytes
    }

    package var agreedFailure: Failure? {
        get { agreed.withLock { $0 } }
        set { agreed.withLock { $0 = newValue } }
    }

    package func send(_ bytes: UnsafeRawBufferPointer, to destination: Int) throws(Failure) {
        for offset in stride(from: 0, to: bytes.count, by: messageBytes) {
            let code = MPI_Send(
                bytes.baseAddress! + offset, length(at: offset, of: bytes.count),
                causalgen_mpi_byte(), Int32(destination), Self.tag, communicator)
            try check(code, "send to", destination)
        }
    }

    package func receive(_ bytes: UnsafeMutableRawBufferPointer, from source: Int) throws(Failure) {
        for offset in stride(from: 0, to: bytes.count, by: messageBytes) {
            let code = MPI_Recv(
                bytes.baseAddress! + offset, length(at: offset, of: bytes.count),
                causalgen_mpi_byte(), Int32(source), Self.tag, communicator,
                causalgen_mpi_status_ignore())
            try check(code, "receive from", source)
        }
    }

    package func exchange(
        sending outgoing: UnsafeRawBufferPointer, to destination: Int,
        receiving incoming: UnsafeMutableRawBufferPointer, from source: Int
    ) throws(Failure) {
        let end = max(outgoing.count, incoming.count)
        for offset in stride(from: 0, to: end, by: messageBytes) {
            // The side that has nothing left takes part with no partner.
            let isSending = offset < outgoing.count
            let isReceiving = offset < incoming.count
            let code = MPI_Sendrecv(
                isSending ? outgoing.baseAddress! + offset : nil,
                isSending ? length(at: offset, of: outgoing.count) : 0, causalgen_mpi_byte(),
                isSending ? Int32(destination) : MPI_PROC_NULL, Self.tag,
                isReceiving ? incoming.baseAddress! + offset : nil,
                isReceiving ? length(at: offset, of: incoming.count) : 0, causalgen_mpi_byte(),
                isReceiving ? Int32(source) : MPI_PROC_NULL, Self.tag, communicator,
                causalgen_mpi_status_ignore())
            try check(code, "exchange data with \(name(of: source)) and", destination)
        }
    }

    /// MPI_Allreduce, blocking and in place.
    package func allreduce(_ values: UnsafeMutableBufferPointer<Float>) throws(Failure) {
        let most = messageBytes / MemoryLayout<Float>.stride
        for offset in stride(from: 0, to: values.count, by: most) {
            let code = MPI_Allreduce(
                causalgen_mpi_in_place(), values.baseAddress! + offset,
                Int32(min(most, values.count - offset)), causalgen_mpi_float(),
                causalgen_mpi_sum(), communicator)
            guard code != MPI_SUCCESS else { continue }
            try Self.check(code, "add up the gradients of all ranks", .peerLost)
        }
    }

    package func barrier() throws(Failure) {
        try Self.check(MPI_Barrier(communicator), "wait for the other ranks", .peerLost)
    }

    package func finish() throws(Failure) {
        // The first process that leaves with an error makes mpirun end the others a second later.
        try barrier()
        try Self.check(MPI_Finalize(), "leave MPI", .peerLost)
    }

    package func abort(_ exitCode: ExitCode) -> Never {
        MPI_Abort(communicator, exitCode.rawValue)
        exit(exitCode.rawValue)
    }

    /// The bytes of the message that starts at `offset` of `count` bytes.
    private func length(at offset: Int, of count: Int) -> Int32 {
        Int32(min(messageBytes, count - offset))
    }

    private func check(_ code: Int32, _ action: String, _ peer: Int) throws(Failure) {
        // The name is put together only where it is needed: this runs in every step.
        guard code != MPI_SUCCESS else { return }
        try Self.check(code, "\(action) \(name(of: peer))", .peerLost)
    }

    private static func check(
        _ code: Int32, _ action: String, _ exitCode: ExitCode
    ) throws(Failure) {
        guard code != MPI_SUCCESS else { return }
        var text = [CChar](repeating: 0, count: Int(MPI_MAX_ERROR_STRING) + 1)
        var length: Int32 = 0
        MPI_Error_string(code, &text, &length)
        let reason = String(decoding: text.prefix(Int(length)).map(UInt8.init), as: UTF8.self)
        let cure =
            exitCode == .peerLost
            ? "look for the first message of that rank, then start again: training resumes from "
                + "the last checkpoint"
            : "try 'mpirun -n 2 hostname' to see whether Open MPI works here"
        throw Failure(exitCode, "cannot \(action): \(reason); \(cure)")
    }

    /// The host of each rank of MPI's own numbering.
    private static func gatherHostNames(worldSize: Int) throws(Failure) -> [String] {
        let own = Array(hostName().utf8.prefix(nameBytes - 1))
        let padded = own + [UInt8](repeating: 0, count: nameBytes - own.count)
        var all = [UInt8](repeating: 0, count: worldSize * nameBytes)
        try check(
            MPI_Allgather(
                padded, Int32(nameBytes), causalgen_mpi_byte(), &all, Int32(nameBytes),
                causalgen_mpi_byte(), causalgen_mpi_comm_world()),
            "gather the hosts' names", .unavailable)
        return (0..<worldSize).map { index in
            let name = all[(index * nameBytes)..<((index + 1) * nameBytes)].prefix { $0 != 0 }
            return String(decoding: name, as: UTF8.self)
        }
    }

    /// Switches off Open MPI's reads of other processes' memory where a container forbids them.
    ///
    /// Open MPI looks at /proc and at user namespaces, but not at seccomp filters, and then fails
    /// with `Read -1, expected N, errno = 1`. The filter refuses a process its own memory too.
    private static func avoidRefusedMemoryAccess() {
        guard causalgen_may_read_process_memory() == 0 else { return }
        setenv("OMPI_MCA_btl_vader_single_copy_mechanism", "none", 0)  // Open MPI 4
        setenv("OMPI_MCA_smsc", "^cma", 0)  // Open MPI 5
    }
}
