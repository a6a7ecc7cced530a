import CMPI
import Glibc
import Host
import Synchronization

/// The ranks of an MPI job, renumbered by (host, rank on that host).
package final class MPICommunicator: Communicator, @unchecked Sendable {
    package let rank: Int
    package let size: Int
    package let hostNames: [String]
    package let processes: [Int32]
    package let watch = Watch()
    package private(set) var sentBytes = 0
    /// Notices on their way, in turns, and how many there were.
    private let notices = UnsafeMutablePointer<Notice>.allocate(capacity: noticeSlots)
    private var noticesSent = 0
    /// The handle never changes, and MPI was asked to allow any thread, one at a time.
    nonisolated(unsafe) private let communicator: MPI_Comm
    /// The longest single MPI message: MPI counts in C's int.
    private let messageBytes: Int
    private let agreed = Mutex<Failure?>(nil)

    /// A tag for each channel, and one for notices.
    private static func tag(_ channel: Int) -> Int32 { Int32(channel + 1) }
    private static let noticeTag: Int32 = 0
    /// More than a rank posts before the first have arrived.
    private static let noticeSlots = 4096
    /// The bytes of a host name on the wire, the terminating zero included.
    private static let nameBytes = 256

    /// Initialises MPI and numbers the ranks.
    ///
    /// - Throws: exit code 69 where MPI is not usable.
    package init(messageBytes: Int) throws(Failure) {
        precondition(messageBytes > 0 && messageBytes <= Int(Int32.max))
        // What the user has chosen stays, and what others see as the environment is the user's.
        let chosen = Self.parameters.filter { getenv($0.key) == nil }
        for (name, value) in chosen { setenv(name, value, 1) }
        var provided: Int32 = 0
        let initialized = MPI_Init_thread(nil, nil, Int32(MPI_THREAD_SERIALIZED), &provided)
        for name in chosen.keys { unsetenv(name) }
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
        processes = try Self.gatherProcesses(size, renumbered)
        self.messageBytes = messageBytes
    }

    package var library: String { Self.libraryVersion }

    /// What the library says of itself, before it is initialised too.
    package static var libraryVersion: String {
        var text = [CChar](repeating: 0, count: Int(MPI_MAX_LIBRARY_VERSION_STRING))
        var length: Int32 = 0
        MPI_Get_library_version(&text, &length)
        // The length that Open MPI 4 gives counts the zero at the end.
        return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init), as: UTF8.self)
    }

    package var agreedFailure: Failure? {
        get { agreed.withLock { $0 } }
        set { agreed.withLock { $0 = newValue } }
    }

    // MARK: Messages

    package func startPart(of message: inout Message) throws(Failure) {
        let part = message.nextPart(most: messageBytes)
        var request: MPI_Request?
        switch message.direction {
        case .send:
            let code = MPI_Isend(
                part.baseAddress, Int32(part.count), causalgen_mpi_byte(), Int32(message.peer),
                Self.tag(message.channel), communicator, &request)
            try check(code, "send to", message.peer)
            sentBytes += part.count
        case .receive:
            let code = MPI_Irecv(
                part.baseAddress, Int32(part.count), causalgen_mpi_byte(), Int32(message.peer),
                Self.tag(message.channel), communicator, &request)
            try check(code, "receive from", message.peer)
        }
        message.request = UInt(bitPattern: request)
    }

    package func isPartDone(_ request: UInt, of message: Message) throws(Failure) -> Bool {
        var handle = MPI_Request(bitPattern: request)
        var isDone: Int32 = 0
        let code = MPI_Test(&handle, &isDone, causalgen_mpi_status_ignore())
        try check(code, message.direction == .send ? "send to" : "receive from", message.peer)
        return isDone != 0
    }

    /// Spins as long as most messages take, then leaves the core to others, who may be the ones it waits for,
    /// for a small part of what it has waited already.
    package func idle(waited: Double) {
        switch waited {
        case ..<20e-6: Processor.spinHint()
        case ..<2e-3: sched_yield()
        default: usleep(UInt32(min(waited * 1e6 / 16, 200)))
        }
    }

    // MARK: Notices

    package func post(_ notice: Notice, to destination: Int) {
        let slot = notices + noticesSent % Self.noticeSlots
        noticesSent += 1
        slot.pointee = notice
        var request: MPI_Request?
        let size = Int32(MemoryLayout<Notice>.stride)
        let code = MPI_Isend(
            slot, size, causalgen_mpi_byte(), Int32(destination), Self.noticeTag, communicator,
            &request)
        // So few bytes are on their way at once; whether they arrive is seen by the answer.
        if code == MPI_SUCCESS { MPI_Request_free(&request) }
    }

    package func nextNotice() -> (notice: Notice, source: Int)? {
        var (isThere, status): (Int32, MPI_Status) = (0, MPI_Status())
        let probed = MPI_Iprobe(
            causalgen_mpi_any_source(), Self.noticeTag, communicator, &isThere, &status)
        guard probed == MPI_SUCCESS && isThere != 0 else { return nil }
        var notice = Notice(.answer)
        let received = MPI_Recv(
            &notice, Int32(MemoryLayout<Notice>.stride), causalgen_mpi_byte(), status.MPI_SOURCE,
            Self.noticeTag, communicator, causalgen_mpi_status_ignore())
        return received == MPI_SUCCESS ? (notice, Int(status.MPI_SOURCE)) : nil
    }

    /// MPI_Allreduce or MPI_Iallreduce, in place.
    package func allreduce(
        _ values: UnsafeMutableBufferPointer<Float>, blocking: Bool
    ) throws(Failure) {
        let most = messageBytes / MemoryLayout<Float>.stride
        for offset in stride(from: 0, to: values.count, by: most) {
            let (start, count) = (values.baseAddress! + offset, min(most, values.count - offset))
            var code: Int32
            if blocking {
                code = MPI_Allreduce(
                    causalgen_mpi_in_place(), start, Int32(count), causalgen_mpi_float(),
                    causalgen_mpi_sum(), communicator)
            } else {
                var request: MPI_Request?
                code = MPI_Iallreduce(
                    causalgen_mpi_in_place(), start, Int32(count), causalgen_mpi_float(),
                    causalgen_mpi_sum(), communicator, &request)
                if code == MPI_SUCCESS { code = MPI_Wait(&request, causalgen_mpi_status_ignore()) }
            }
            guard code != MPI_SUCCESS else { continue }
            try Self.check(code, "add up the gradients of all ranks", .peerLost)
        }
    }

    package func leave() throws(Failure) {
        try Self.check(MPI_Finalize(), "leave MPI", .peerLost)
    }

    package func abort(_ exitCode: ExitCode) -> Never {
        MPI_Abort(communicator, exitCode.rawValue)
        exit(exitCode.rawValue)
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

    /// The process of each rank.
    private static func gatherProcesses(
        _ size: Int, _ communicator: MPI_Comm
    ) throws(Failure) -> [Int32] {
        var own = getpid()
        var all = [Int32](repeating: 0, count: size)
        let bytes = Int32(MemoryLayout<Int32>.size)
        try check(
            MPI_Allgather(
                &own, bytes, causalgen_mpi_byte(), &all, bytes, causalgen_mpi_byte(), communicator),
            "gather the processes", .unavailable)
        return all
    }

    /// Whether this process may read another's memory, as far as a filter of system calls tells.
    package static var mayReadProcessMemory: Bool { causalgen_may_read_process_memory() == 1 }

    /// What Open MPI reads while it is initialised.
    private static var parameters: [String: String] {
        mayReadProcessMemory ? orderedMessages : orderedMessages.merging(noMemoryAccess) { $1 }
    }

    /// Has Open MPI's TCP end a long message where its bytes end.
    ///
    /// By default it puts long messages into the other's memory, and the words that they are there wait behind the
    /// bytes of all other messages: of many that leave one after another, none arrives before the last. Sent in
    /// parts they arrive in their order; of each, enough parts must be on their way to last from one look at the
    /// network to the next.
    private static let orderedMessages = [
        "OMPI_MCA_btl_tcp_flags": "send,inplace", "OMPI_MCA_pml_ob1_send_pipeline_depth": "16",
    ]

    /// Switches off Open MPI's reads of other processes' memory where a container forbids them.
    ///
    /// Open MPI looks at /proc and at user namespaces, but not at seccomp filters, and then fails
    /// with `Read -1, expected N, errno = 1`. The filter refuses a process its own memory too.
    private static let noMemoryAccess = [
        "OMPI_MCA_btl_vader_single_copy_mechanism": "none",  // Open MPI 4
        "OMPI_MCA_smsc": "^cma",  // Open MPI 5
    ]
}
