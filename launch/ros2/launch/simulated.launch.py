"""The simulated robot and its controller, as two processes that talk over the same topics as on hardware."""
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

CONTROLLER = PathJoinSubstitution([FindPackageShare('farsight'), 'launch', 'controller.launch.py'])


def generate_launch_description():
    return LaunchDescription(
        [
            DeclareLaunchArgument('task', default_value='inverted-pendulum', description='the task of the robot'),
            DeclareLaunchArgument('policy', description='the policy file'),
            DeclareLaunchArgument('namespace', default_value='', description='of both nodes and their topics'),
            DeclareLaunchArgument(
                'robot_map',
                default_value='',
                description='path of the robot map, for both nodes; empty: the default map',
            ),
            Node(
                package='farsight',
                executable='robot',
                name='farsight_robot',
                namespace=LaunchConfiguration('namespace'),
                arguments=[
                    *('--task', LaunchConfiguration('task')),
                    *('--robot-map', LaunchConfiguration('robot_map')),
                ],
                output='screen',
            ),
            # It has further arguments, which may be given here too: rate, params_file, autostart, …
            IncludeLaunchDescription(PythonLaunchDescriptionSource(CONTROLLER)),
        ]
    )
