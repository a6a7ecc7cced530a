import Collectives
import Host

/// The moments of all ranks, of which rank 0 has room for all.
extension Trainer {
    /// Completes rank 0's moments by the other ranks' shards. All ranks call it.
    package func gatherMoments() throws(Failure) {
        try forEachForeignShard { (moments, shard, owner) throws(Failure) in
            let bytes = UnsafeMutableRawBufferPointer(moments.buffer(of: shard))
            if communicator.rank == 0 {
                try communicator.receive(bytes, from: owner)
            } else {
                try communicator.send(UnsafeRawBufferPointer(bytes), to: 0)
            }
        }
    }

    /// Gives every rank its shard of rank 0's moments. All ranks call it.
    package func scatterMoments() throws(Failure) {
        try forEachForeignShard { (moments, shard, owner) throws(Failure) in
            let bytes = UnsafeMutableRawBufferPointer(moments.buffer(of: shard))
            if communicator.rank == 0 {
                try communicator.send(UnsafeRawBufferPointer(bytes), to: owner)
            } else {
                try communicator.receive(bytes, from: 0)
            }
        }
    }

    /// On rank 0 every other rank's shard, on another rank its own.
    private func forEachForeignShard(
        _ body: (Moments, Range<Int>, _ owner: Int) throws(Failure) -> Void
    ) throws(Failure) {
        for owner in 1..<max(1, communicator.size)
        where [0, owner].contains(communicator.rank) {
            for moments in [firstMoments, secondMoments] {
                for range in sharding.shards[owner] { try body(moments, range, owner) }
            }
        }
    }
}
